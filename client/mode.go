package client

// A Mode is a kind of lock. Locks of one name but of different modes have nothing
// to do with each other.
type Mode int

// The modes.
const (
	AnyMode   Mode = iota // where there is a choice: both
	Exclusive             // one holder
	Shared                // any number of holders
)

// String returns "exclusive", "shared" or "any".
func (m Mode) String() string {
	switch m {
	case Exclusive:
		return "exclusive"
	case Shared:
		return "shared"
	}
	return "any"
}

func modeOf(shared bool) Mode {
	if shared {
		return Shared
	}
	return Exclusive
}
