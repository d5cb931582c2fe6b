package main

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"lockd/client"
	"lockd/internal/human"
)

// entryJSON is an entry as the protocol has it (docs/protocol.md, "Seeing"),
// without what an older server does not tell.
type entryJSON struct {
	Name       string `json:"name"`
	NameBase64 []byte `json:"name_base64,omitempty"`
	Mode       string `json:"mode"`
	State      string `json:"state"`
	Addr       string `json:"addr"`
	Who        string `json:"who"`
	WhoBase64  []byte `json:"who_base64,omitempty"`
	Token      string `json:"token,omitempty"`
	Max        *int   `json:"max,omitempty"`
	Since      string `json:"since,omitempty"`
	MS         *int64 `json:"ms,omitempty"`
}

// stampLayout is that of the moments in JSON, as the protocol has it: RFC 3339 with
// milliseconds.
const stampLayout = "2006-01-02T15:04:05.000Z07:00"

func entryObject(e client.Entry) entryJSON {
	id := identify(e.Client)
	o := entryJSON{
		Name: e.Lock, NameBase64: unlessText(e.Lock), Mode: e.Mode.String(), State: stateOf(e),
		Addr: id.Address, Who: id.Name, WhoBase64: unlessText(id.Name), Token: tokenText(e.Token),
	}
	if e.Waiting && e.Mode == client.Shared {
		o.Max = &e.Max
	}
	if !e.Since.IsZero() {
		ms := e.Age.Milliseconds()
		o.Since, o.MS = e.Since.UTC().Format(stampLayout), &ms
	}
	return o
}

func entryObjects(entries []client.Entry) []entryJSON {
	objects := make([]entryJSON, len(entries))
	for i, e := range entries {
		objects[i] = entryObject(e)
	}
	return objects
}

// identify tells a name from an address: of a client without a name, and of any
// on a server of level 1, the protocol has one text for both.
func identify(id client.Identity) client.Identity {
	if id.Address != id.Name {
		return id
	}
	if _, err := netip.ParseAddrPort(id.Address); err == nil || strings.HasPrefix(id.Address, "unix:") {
		return client.Identity{Address: id.Address}
	}
	return client.Identity{Name: id.Name}
}

func stateOf(e client.Entry) string {
	if e.Waiting {
		return "waiting"
	}
	return "held"
}

// tokenText is empty where there is no token.
func tokenText(token uint64) string {
	if token == 0 {
		return ""
	}
	return strconv.FormatUint(token, 10)
}

func ageText(e client.Entry) string {
	if e.Since.IsZero() {
		return "-"
	}
	return human.Age(e.Age)
}

// sinceText is a moment, with the day where that is not clear.
func sinceText(e client.Entry) string {
	switch {
	case e.Since.IsZero():
		return "-"
	case e.Age < 12*time.Hour:
		return e.Since.Local().Format(time.TimeOnly)
	}
	return e.Since.Local().Format("2006-01-02 15:04")
}

// entryTable is what ls shows.
func entryTable(entries []client.Entry) *textTable {
	l := &textTable{
		columns: []string{"NAME", "MODE", "STATE", "AGE", "CLIENT", "ADDRESS", "TOKEN"},
		elastic: []int{0, 4},
	}
	for _, e := range entries {
		id := identify(e.Client)
		l.add(shown(e.Lock), e.Mode.String(), stateOf(e), ageText(e), orDash(id.Name), orDash(id.Address), orDash(tokenText(e.Token)))
	}
	return l
}
