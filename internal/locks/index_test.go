package locks

import "testing"

// A hash of 64 bits cannot be made to collide from outside, so this asks the
// shard itself.
func TestLocksOfOneHashAreToldApart(t *testing.T) {
	const hash = 42
	all := []*lock{
		{hash: hash, mode: Exclusive, name: []byte("a")},
		{hash: hash, mode: Shared, name: []byte("a")},
		{hash: hash, mode: Exclusive, name: []byte("b")},
		{hash: hash, mode: Shared, name: nil},
		{hash: hash + minChains, mode: Exclusive, name: []byte("a")}, // the same chain
	}
	var sh shard
	for i, l := range all {
		if got := sh.lookup(l.hash, l.mode, l.name); got != nil {
			t.Fatalf("lock %d is found before it is there", i)
		}
		sh.locks.insert(l)
	}
	for _, i := range []int{2, 0, 4, 3, 1} { // from the middle and both ends of the chain
		for j, l := range all {
			if got := sh.lookup(l.hash, l.mode, l.name); got != l {
				t.Errorf("looking for lock %d finds another: %v", j, got)
			}
		}
		sh.locks.remove(all[i])
		if got := sh.lookup(all[i].hash, all[i].mode, all[i].name); got != nil {
			t.Errorf("lock %d is found after it was removed", i)
		}
		sh.locks.insert(all[i])
	}
}
