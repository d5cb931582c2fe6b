package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/internal/protocol"
)

// form makes of a reply, worded by what words the replies, an expression for the
// lines of dialogues that are such replies. 4711 stands for any number but 0.
func form(reply []byte) string {
	text := regexp.QuoteMeta(strings.TrimSuffix(string(reply), "\n"))
	return "^" + strings.NewReplacer(
		"NAME", ".*", "ADDR", "ADDR-[A-Z]", "HOLDER", ".+", "4711", "([1-9][0-9]*|T[1-9]|MS)",
		`2000-01-01T00:00:00\.000Z`, "TIME",
	).Replace(text) + "$"
}

// replyForms are made by what words the replies, so that none can be forgotten
// here without the compiler's or the list's help.
func replyForms() map[string]string {
	name := []byte("NAME")
	return map[string]string{
		"g":           form(protocol.AppendGet(nil, true, name)),
		"g fails":     form(protocol.AppendGet(nil, false, name)),
		"r":           form(protocol.AppendRelease(nil, true, name)),
		"r fails":     form(protocol.AppendRelease(nil, false, name)),
		"i":           form(protocol.AppendInspect(nil, true, name)),
		"i free":      form(protocol.AppendInspect(nil, false, name)),
		"sg":          form(protocol.AppendSharedGet(nil, 4711, name)),
		"sg fails":    form(protocol.AppendSharedGet(nil, 0, name)),
		"sr":          form(protocol.AppendSharedRelease(nil, true, name)),
		"sr fails":    form(protocol.AppendSharedRelease(nil, false, name)),
		"si":          form(protocol.AppendSharedInspect(nil, 4711, name)),
		"si free":     form(protocol.AppendSharedInspect(nil, 0, name)),
		"me":          form(protocol.AppendMe(nil, "ADDR", "HOLDER")),
		"me unnamed":  `^1 (ADDR-[A-Z]) ADDR-[A-Z]$`,
		"iam":         form(protocol.AppendOK(nil)),
		"disabled":    form(protocol.AppendDisabled(nil)),
		"d by name":   `^[a-z]+: [a-z]+$`,
		"d by addr":   `^[a-z]+: ADDR-[A-Z]$`,
		"who":         form(protocol.AppendClient(nil, "ADDR", "HOLDER")),
		"q":           form(protocol.AppendCounter(nil, "command_me", 4711)),
		"dump":        `^map\[a:ADDR-[A-Z] b:ADDR-[A-Z]\]$`,
		"dump free":   `^map\[\]$`,
		"dump shared": `^map\[s:\[ADDR-[A-Z] ADDR-[A-Z]\] t:\[ADDR-[A-Z]\]\]$`,
		"HTTP":        `^HTTP/1\.1 400 Bad Request\r$`,
	}
}

// replyForms2 are those of level 2.
func replyForms2() map[string]string {
	name, ms := []byte("NAME"), 4711*time.Millisecond
	held := protocol.Failure{Reason: protocol.ReasonHeld, Holder: "ADDR", Held: ms}
	full := protocol.Failure{Reason: protocol.ReasonLimit, Count: 4711, Max: 4711}
	forms := map[string]string{
		"handshake":         form(protocol.AppendHandshake(nil, "ADDR", "HOLDER")),
		"gw":                form(protocol.AppendGranted(nil, 4711, ms, name)),
		"gw fails":          form(protocol.AppendNotGranted(nil, held, name)),
		"sgw":               form(protocol.AppendSharedGranted(nil, 4711, 4711, 4711, ms, name)),
		"sgw fails":         form(protocol.AppendSharedNotGranted(nil, full, name)),
		"nothing to cancel": form(protocol.AppendNothingToCancel(nil)),
		"unknown command":   form(protocol.AppendUnknown(nil, name)),
		"line too long":     form(protocol.AppendTooLong(nil)),
		"ping":              form(protocol.AppendPong(nil)),
		"info":              form(protocol.AppendInfo(nil, "address", "ADDR")),
		"fr, kick":          form(protocol.AppendGone(nil, 4711)),
		"not held":          form(protocol.AppendNotHeld(nil, name)),
		"no connection":     form(protocol.AppendNoConnection(nil, name)),
		"denied":            form(protocol.AppendDenied(nil)),
		"end of a listing":  form(protocol.AppendEnd(nil)),
	}
	for _, reason := range []protocol.Reason{
		protocol.ReasonHeld, protocol.ReasonQueue, protocol.ReasonLimit, protocol.ReasonTimeout,
		protocol.ReasonCancelled, protocol.ReasonTooMany, protocol.ReasonDraining,
	} {
		forms["reason "+string(reason)] = "^0 (Shared )?Lock Get Failure: reason=" + string(reason) + " "
	}
	for _, v := range []protocol.Verb{
		protocol.GetWait, protocol.SharedGetWait, protocol.Ls, protocol.Break, protocol.Kick,
	} {
		forms["bad arguments of "+v.String()] = form(protocol.AppendBadArguments(nil, v))
	}
	for _, kind := range []string{"granted", "released", "orphaned", "forced"} {
		forms["event "+kind] = form(protocol.AppendEvent(nil, kind, false, 4711, "ADDR", name))
	}
	forms["event of a shared lock"] = form(protocol.AppendEvent(nil, "granted", true, 4711, "ADDR", name))
	for what, e := range entries() {
		forms["ls: "+what] = form(new(protocol.EntryEncoder).Append(nil, e))
	}
	return forms
}

// entries are the kinds of lines that ls has.
func entries() map[string]protocol.Entry {
	e := protocol.Entry{
		Name: []byte("NAME"), Addr: "ADDR", Who: "NAME",
		Since: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), Age: 4711 * time.Millisecond,
	}
	holder, sharer, waiter, sharedWaiter := e, e, e, e
	holder.Token = 4711
	sharer.Token, sharer.Shared = 4711, true
	waiter.Waiting = true
	sharedWaiter.Waiting, sharedWaiter.Shared, sharedWaiter.Max = true, true, 4711
	return map[string]protocol.Entry{
		"holder": holder, "holder of a shared lock": sharer, "waiter": waiter, "waiter of a shared lock": sharedWaiter,
	}
}

func TestEveryFormOfReplyIsInADialogue(t *testing.T) {
	lines := said(t, "<")
	for _, forms := range []map[string]string{replyForms(), replyForms2()} {
		for what, form := range forms {
			if !slices.ContainsFunc(lines, regexp.MustCompile(form).MatchString) {
				t.Errorf("no dialogue has a reply like %s: %s", what, form)
			}
		}
	}
}
