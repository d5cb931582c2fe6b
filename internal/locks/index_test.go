package locks

import (
	"testing"
	"unsafe"
)

// A hash cannot be made to collide from outside, so this asks the
// shard itself.
func TestLocksOfOneHashAreToldApart(t *testing.T) {
	const hash = 42
	all := []*lock{
		{hash: hash, mode: Exclusive},
		{hash: hash, mode: Shared},
		{hash: hash, mode: Exclusive},
		{hash: hash, mode: Shared},
		{hash: hash + minChains, mode: Exclusive}, // the same chain
	}
	for i, name := range []string{"a", "a", "b", "", "a"} {
		all[i].setShortName([]byte(name))
	}
	var sh shard
	for i, l := range all {
		if got := sh.lookup(l.hash, l.mode, l.name()); got != nil {
			t.Fatalf("lock %d is found before it is there", i)
		}
		sh.locks.insert(l)
	}
	for _, i := range []int{2, 0, 4, 3, 1} { // from the middle and both ends of the chain
		for j, l := range all {
			if got := sh.lookup(l.hash, l.mode, l.name()); got != l {
				t.Errorf("looking for lock %d finds another: %v", j, got)
			}
		}
		sh.locks.remove(all[i])
		if got := sh.lookup(all[i].hash, all[i].mode, all[i].name()); got != nil {
			t.Errorf("lock %d is found after it was removed", i)
		}
		sh.locks.insert(all[i])
	}
}

// One byte more, and each lock would take the allocator's next size.
func TestAHeldLockIsOneObjectOf96Bytes(t *testing.T) {
	if size := unsafe.Sizeof(lock{}); size != 96 {
		t.Errorf("a lock has %d bytes", size)
	}
	if size := unsafe.Sizeof(extra{}); size > 64 {
		t.Errorf("what stands beside some has %d bytes", size)
	}
}
