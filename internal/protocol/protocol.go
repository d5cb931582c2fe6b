// Package protocol is the wire format of lockd: lines in, replies out.
//
// It is pure: no I/O, no clock, no goroutine, no decision. The server asks it
// to cut bytes into lines ([Lines]), lines into commands ([Parse]), and to word
// the answers (the Append functions); a client prints commands with
// [AppendCommand]. What the bytes mean is told in docs/protocol.md, whose
// sections the comments here name.
package protocol

// A Verb is the command word of a line (docs/protocol.md, "Commands").
type Verb uint8

// The commands, in the order in which the counters of q list them. Those of
// level 2 answer any connection, but stand in the counters of none that has not
// shaken hands.
const (
	Unknown       Verb = iota // not a command of this protocol
	Cancel                    // cancel
	List                      // d
	Dump                      // dump
	Break                     // fr
	Get                       // g
	GetWait                   // gw
	Inspect                   // i
	Iam                       // iam
	Info                      // info
	Kick                      // kick
	Ls                        // ls
	Me                        // me
	Ping                      // ping
	Stats                     // q
	Release                   // r
	SharedList                // sd
	SharedGet                 // sg
	SharedGetWait             // sgw
	SharedInspect             // si
	SharedRelease             // sr
	Unwatch                   // unwatch
	Watch                     // watch
	Who                       // who
	NumVerbs                  // their number, Unknown among them
)

var verbWords = [NumVerbs]string{
	"", "cancel", "d", "dump", "fr", "g", "gw", "i", "iam", "info", "kick", "ls", "me", "ping", "q", "r",
	"sd", "sg", "sgw", "si", "sr", "unwatch", "watch", "who",
}

// Level returns the level of the protocol that the command belongs to, 0 for
// Unknown.
func (v Verb) Level() int {
	switch v {
	case Unknown:
		return 0
	case Cancel, Break, GetWait, Info, Kick, Ls, Ping, SharedGetWait, Unwatch, Watch:
		return 2
	}
	return 1
}

// String returns the command word as it stands on the wire, "" for Unknown.
func (v Verb) String() string {
	if v >= NumVerbs {
		return ""
	}
	return verbWords[v]
}

// A Command is one line taken apart.
type Command struct {
	Verb Verb
	// Arg is what follows the command word, blanks around it dropped and each
	// run of blanks in it one space; for most commands the name of a lock.
	// Any bytes but LF may occur in it, and it may be empty. With Unknown it is
	// the word that is no command.
	Arg []byte
}

// Parse takes a line, without its LF, apart (docs/protocol.md, "Lines").
// It reports false for a line that holds nothing but blanks, which is no
// command at all. Arg is a part of line, whose bytes Parse may move; parsed again,
// the line is the same command.
func Parse(line []byte) (Command, bool) {
	line = trim(line)
	if len(line) == 0 {
		return Command{}, false
	}
	end := 0
	for end < len(line) && line[end] != ' ' {
		end++
	}
	verb := parseVerb(line[:end])
	switch {
	case verb == Unknown:
		return Command{Unknown, line[:end]}, true
	case end == len(line):
		return Command{Verb: verb}, true
	}
	return Command{verb, squeeze(trimLeft(line[end:]))}, true
}

func parseVerb(word []byte) Verb {
	switch string(word) { // compiled to comparisons, no allocation
	case "g":
		return Get
	case "r":
		return Release
	case "i":
		return Inspect
	case "sg":
		return SharedGet
	case "sr":
		return SharedRelease
	case "si":
		return SharedInspect
	case "d":
		return List
	case "sd":
		return SharedList
	case "dump":
		return Dump
	case "me":
		return Me
	case "iam":
		return Iam
	case "who":
		return Who
	case "q":
		return Stats
	case "gw":
		return GetWait
	case "sgw":
		return SharedGetWait
	case "cancel":
		return Cancel
	case "ping":
		return Ping
	case "ls":
		return Ls
	case "watch":
		return Watch
	case "unwatch":
		return Unwatch
	case "info":
		return Info
	case "fr":
		return Break
	case "kick":
		return Kick
	}
	return Unknown
}

// AppendCommand appends the line that asks for c, LF included. What it prints,
// Parse reads back as c, if c.Arg is what Parse could have returned: without
// LF, without blanks but single spaces, none at either end.
func AppendCommand(dst []byte, c Command) []byte {
	dst = append(dst, verbWords[c.Verb]...)
	if len(c.Arg) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, c.Arg...)
	}
	return append(dst, '\n')
}

// isBlank tells the five blanks of the protocol. LF ends a line and is none.
func isBlank(c byte) bool {
	if c > ' ' { // nearly always, and enough to know
		return false
	}
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

func trim(b []byte) []byte {
	b = trimLeft(b)
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// squeeze makes each run of blanks in b, which begins and ends with none, one
// space. It works in place, and leaves blanks behind what it returns, so that the
// line means what it did.
func squeeze(b []byte) []byte {
	i := 0
	for i < len(b) && (!isBlank(b[i]) || b[i] == ' ' && !isBlank(b[i+1])) {
		i++
	}
	out := b[:i] // nearly always all of it
	for ; i < len(b); i++ {
		switch {
		case !isBlank(b[i]):
			out = append(out, b[i])
		case !isBlank(b[i-1]):
			out = append(out, ' ')
		}
	}
	for i = len(out); i < len(b); i++ {
		b[i] = ' '
	}
	return out
}

// VerbOf returns the command word of a line, and reports false for a line of
// blanks. Unlike [Parse] it leaves the line as it is.
func VerbOf(line []byte) (Verb, bool) {
	word, _ := cutWord(trim(line))
	return parseVerb(word), len(word) > 0
}
