package locks

import (
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// TestAccountsKeepTheLimit lets some accounts take, give and force at random, under
// limits that come and go, against what that must add up to.
func TestAccountsKeepTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var drawn atomic.Int64
		accounts := make([]account, 4)
		limit := int64(0)
		setLimit := func(l int64) {
			limit = l
			for i := range accounts {
				accounts[i].drawn = &drawn
				accounts[i].setLimit(l)
			}
		}
		// From none over those that are shared byte by byte to those with steps.
		limits := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 5000), rapid.Int64Range(1<<20, 1<<30))
		setLimit(limits.Draw(t, "limit"))
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			a := &accounts[rapid.IntRange(0, len(accounts)-1).Draw(t, "account")]
			n := rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64Range(0, 1<<28)).Draw(t, "bytes")
			used, slack := int64(0), int64(0)
			for i := range accounts {
				used += accounts[i].used
				slack += 2 * accounts[i].step
			}
			switch rapid.SampledFrom([]string{"take", "take", "take", "give", "give", "force", "limit"}).Draw(t, "what") {
			case "take":
				was := a.used
				took := a.take(n)
				switch {
				case took && a.used != was+n, !took && a.used != was:
					t.Fatalf("take %d: %t, and %d used became %d", n, took, was, a.used)
				case took && limit > 0 && n > 0 && used+n > limit:
					t.Fatalf("took %d with %d used at a limit of %d", n, used, limit)
				case !took && (limit == 0 || used+n+slack <= limit):
					t.Fatalf("did not take %d with %d used at a limit of %d", n, used, limit)
				}
			case "give":
				a.give(min(n, a.used))
			case "force":
				n = min(n, a.used)
				a.give(n)
				a.force(n)
			case "limit":
				setLimit(limits.Draw(t, "new limit"))
			}
			sum := int64(0)
			for i, a := range accounts {
				sum += a.used + a.ahead
				if a.used < 0 || a.ahead < 0 || a.ahead > 2*a.step {
					t.Fatalf("account %d uses %d and has %d ahead, with a step of %d", i, a.used, a.ahead, a.step)
				}
			}
			if sum != drawn.Load() {
				t.Fatalf("%d are drawn, and the accounts have %d", drawn.Load(), sum)
			}
		}
	})
}
