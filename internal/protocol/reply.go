package protocol

import "strconv"

// The Append functions word the replies (docs/protocol.md, "Commands"), each a
// whole line with its LF. They append to dst and return it, and they allocate
// nothing where dst has room.

// AppendGet words the reply to g.
func AppendGet(dst []byte, ok bool, name []byte) []byte {
	if ok {
		return appendNamed(dst, "1 Lock Get Success: ", name)
	}
	return appendNamed(dst, "0 Lock Get Failure: ", name)
}

// AppendRelease words the reply to r.
func AppendRelease(dst []byte, ok bool, name []byte) []byte {
	if ok {
		return appendNamed(dst, "1 Lock Release Success: ", name)
	}
	return appendNamed(dst, "0 Lock Release Failure: ", name)
}

// AppendInspect words the reply to i.
func AppendInspect(dst []byte, locked bool, name []byte) []byte {
	if locked {
		return appendNamed(dst, "1 Lock Is Locked: ", name)
	}
	return appendNamed(dst, "0 Lock Not Locked: ", name)
}

// AppendSharedGet words the reply to sg: count is the number of holders, the
// asking one included, or 0 where it got nothing.
func AppendSharedGet(dst []byte, count int, name []byte) []byte {
	if count == 0 {
		return appendNamed(dst, "0 Shared Lock Get Failure: ", name)
	}
	dst = strconv.AppendInt(dst, int64(count), 10)
	return appendNamed(dst, " Shared Lock Get Success: ", name)
}

// AppendSharedRelease words the reply to sr.
func AppendSharedRelease(dst []byte, ok bool, name []byte) []byte {
	if ok {
		return appendNamed(dst, "1 Shared Lock Release Success: ", name)
	}
	return appendNamed(dst, "0 Shared Lock Release Failure: ", name)
}

// AppendSharedInspect words the reply to si: count is the number of holders.
func AppendSharedInspect(dst []byte, count int, name []byte) []byte {
	if count == 0 {
		return appendNamed(dst, "0 Shared Lock Not Locked: ", name)
	}
	dst = strconv.AppendInt(dst, int64(count), 10)
	return appendNamed(dst, " Shared Lock Is Locked: ", name)
}

// AppendMe words the reply to me.
func AppendMe(dst []byte, addr, holder string) []byte {
	return appendIdentity(dst, "1 ", addr, holder)
}

func appendIdentity(dst []byte, level, addr, holder string) []byte {
	dst = append(dst, level...)
	dst = append(dst, addr...)
	dst = append(dst, ' ')
	dst = append(dst, holder...)
	return append(dst, '\n')
}

// AppendOK words the reply to a command that has nothing to tell but success.
func AppendOK(dst []byte) []byte { return append(dst, "1 ok\n"...) }

// AppendDisabled words the reply to a command whose feature is off.
func AppendDisabled(dst []byte) []byte { return append(dst, "0 disabled\n"...) }

// AppendHolder words a line of d or sd: a lock and one that holds it.
func AppendHolder(dst, name []byte, holder string) []byte {
	dst = append(dst, name...)
	return appendPair(dst, holder)
}

// AppendClient words a line of who: a connection's address and its name.
func AppendClient(dst []byte, addr, name string) []byte {
	dst = append(dst, addr...)
	return appendPair(dst, name)
}

// AppendCounter words a line of q.
func AppendCounter(dst []byte, key string, value uint64) []byte {
	dst = append(dst, key...)
	dst = append(dst, ": "...)
	dst = strconv.AppendUint(dst, value, 10)
	return append(dst, '\n')
}

func appendPair(dst []byte, value string) []byte {
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, '\n')
}

// appendNamed is not inlined: its variables would stand in the frame of who asks the
// table, and below that whole call (see TestStacksStaySmall of package server).
//
//go:noinline
func appendNamed(dst []byte, text string, name []byte) []byte {
	dst = append(dst, text...)
	dst = append(dst, name...)
	return append(dst, '\n')
}
