package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"lockd/client"
)

const inspectLong = `Show who holds the lock NAME, since when, and who waits for it. Where the server has its
listings off (features.dump), only whether the lock is held is told.

Exit codes:

    0   held
    1   failed
    2   wrong usage
    3   free
    69  the server cannot be reached`

const inspectExample = `  lockd inspect backup
  lockd inspect -s readers
  lockd inspect backup >/dev/null || echo "free, or no answer"`

// inspectOptions are the flags of lockd inspect.
type inspectOptions struct {
	oneReply
	modeFlag
}

func newInspectCmd(env environment) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:               "inspect [flags] NAME",
		Short:             "Show who holds a lock and who waits for it",
		Long:              inspectLong,
		Example:           inspectExample,
		Args:              upTo(1, 1, "one NAME"),
		ValidArgsFunction: completeLocks(env, &o.clientFlags, o.mode),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName(args[0]); err != nil {
				return err
			}
			return inspect(cmd.Context(), env, o, args[0])
		},
	}
	o.oneReply.bind(cmd)
	o.modeFlag.bind(cmd)
	return cmd
}

// A lockState is what a server tells of one lock.
type lockState struct {
	name             string
	mode             client.Mode
	count            int // of holders
	hidden           bool
	holders, waiters []client.Entry // where they are not hidden
}

func inspect(ctx context.Context, env environment, o inspectOptions, name string) error {
	s := lockState{name: name, mode: o.mode()}
	err := o.ask(ctx, env, s.read)
	if err != nil {
		return err
	}
	if s.hidden {
		fmt.Fprintln(env.stderr, "lockd: note: the server has features.dump off and does not tell who holds or waits")
	}
	if o.json {
		err = printJSON(env, s.object())
	} else {
		_, err = io.WriteString(env.stdout, s.text(screenOf(env.stdout, env)))
	}
	if err == nil && s.count == 0 {
		err = &exitError{code: exitFree}
	}
	return err
}

func (s *lockState) read(ctx context.Context, conn *client.Conn) error {
	entries, err := conn.List(ctx, client.Query{Mode: s.mode, Prefix: s.name})
	if errors.Is(err, client.ErrDisabled) {
		s.hidden = true
		return s.readCount(ctx, conn)
	}
	for _, e := range entries {
		switch {
		case e.Lock != s.name: // it only begins so
		case e.Waiting:
			s.waiters = append(s.waiters, e)
		default:
			s.holders = append(s.holders, e)
		}
	}
	s.count = len(s.holders)
	return err
}

// readCount is for a server that tells no more.
func (s *lockState) readCount(ctx context.Context, conn *client.Conn) (err error) {
	if s.mode == client.Shared {
		s.count, err = conn.InspectShared(ctx, s.name)
		return err
	}
	held, err := conn.Inspect(ctx, s.name)
	if held {
		s.count = 1
	}
	return err
}

func (s *lockState) word() string {
	if s.count == 0 {
		return "free"
	}
	return "held"
}

// text says in a line how things are, and shows who is concerned.
func (s *lockState) text(to screen) string {
	line := fmt.Sprintf("%s lock %s: %s", s.mode, shown(s.name), s.word())
	if s.mode == client.Shared && s.count > 0 {
		line += fmt.Sprintf(" by %d", s.count)
	}
	if n := len(s.waiters); n > 0 {
		line += fmt.Sprintf(", %d waiting", n)
	}
	line += "\n"
	if len(s.holders)+len(s.waiters) == 0 {
		return line
	}
	return line + s.table().render(to)
}

// table shows holders before waiters.
func (s *lockState) table() *textTable {
	l := &textTable{columns: []string{"STATE", "SINCE", "AGE", "CLIENT", "ADDRESS", "TOKEN"}, elastic: []int{3}}
	limited := slices.ContainsFunc(s.waiters, func(e client.Entry) bool { return e.Max > 0 })
	if limited {
		l.columns = append(l.columns, "MAX")
	}
	for _, e := range slices.Concat(s.holders, s.waiters) {
		id := identify(e.Client)
		row := []string{stateOf(e), sinceText(e), ageText(e), orDash(id.Name), orDash(id.Address), orDash(tokenText(e.Token))}
		if limited {
			row = append(row, maxText(e))
		}
		l.add(row...)
	}
	return l
}

// maxText is how many holders there may be at most for a waiter to become one.
func maxText(e client.Entry) string {
	if e.Max == 0 {
		return "-"
	}
	return strconv.Itoa(e.Max)
}

// lockJSON is the state of a lock for programs.
type lockJSON struct {
	Name       string      `json:"name"`
	NameBase64 []byte      `json:"name_base64,omitempty"`
	Mode       string      `json:"mode"`
	State      string      `json:"state"`
	Count      int         `json:"count"`
	Holders    []entryJSON `json:"holders"` // null where they are hidden
	Waiters    []entryJSON `json:"waiters"` // null where they are hidden
}

func (s *lockState) object() lockJSON {
	o := lockJSON{Name: s.name, NameBase64: unlessText(s.name), Mode: s.mode.String(), State: s.word(), Count: s.count}
	if !s.hidden {
		o.Holders, o.Waiters = entryObjects(s.holders), entryObjects(s.waiters)
	}
	return o
}
