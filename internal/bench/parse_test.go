package bench

import (
	"errors"
	"strings"
	"testing"
)

func TestMixesAreParsedAndSpreadEvenly(t *testing.T) {
	tests := map[string]struct{ text, sequence string }{
		"inspect":               {"inspect", "inspect"},
		"get-release=8":         {"get-release", strings.TrimSpace(strings.Repeat("get-release ", 8))},
		"get-release=3,inspect": {"get-release=3,inspect=1", "get-release get-release inspect get-release"},
		"inspect, ping":         {"inspect=1,ping=1", "inspect ping"},
	}
	for text, want := range tests {
		m, err := ParseMix(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var names []string
		for _, o := range m.sequence() {
			names = append(names, o.name)
		}
		if got := strings.Join(names, " "); m.String() != want.text || got != want.sequence {
			t.Errorf("%q is %q: %s; want %q: %s", text, m, got, want.text, want.sequence)
		}
	}
}

func TestAWrongMixIsAnErrorThatSaysWhatIsRight(t *testing.T) {
	tests := map[string]string{
		"":                  `unknown operation ""; want get-release, get, inspect, shared, shared-hot, contended, wait, ping`,
		"set":               `unknown operation "set"`,
		"get=0":             `operation "get" has the weight "0"; want 1 to 100`,
		"get=":              `weight ""`,
		"get=x":             `weight "x"`,
		"get=1,get=2":       `operation "get" is there twice`,
		"get=60,inspect=41": "the weights add up to 101; want 100 or less",
	}
	for text, want := range tests {
		if _, err := ParseMix(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestTargetsAreParsed(t *testing.T) {
	tests := map[string]Target{
		"tcp://example.org:7":    {"tcp://example.org:7", Lockd, "tcp", "example.org:7", 0},
		"tcp://example.org":      {"tcp://example.org", Lockd, "tcp", "example.org:9999", 0},
		"127.0.0.1:7":            {"tcp://127.0.0.1:7", Lockd, "tcp", "127.0.0.1:7", 0},
		"ws://[::1]":             {"ws://[::1]", Lockd, "ws", "[::1]:9998", 0},
		"unix:///run/lockd.sock": {"unix:///run/lockd.sock", Lockd, "unix", "/run/lockd.sock", 0},
		"redis://127.0.0.1":      {"redis://127.0.0.1", Redis, "tcp", "127.0.0.1:6379", 0},
		"echo":                   {"echo", Echo, "", "", 0},
	}
	for text, want := range tests {
		if got, err := ParseTarget(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"http://x", "unix://x/y", "unix:///", "tcp://x:1/y", "tcp://user@x:1", "tcp://::1:7", "redis://x/0", "tcp://%zz",
	} {
		if got, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), "address ") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestWhatRedisHasNotIsSaid(t *testing.T) {
	redis := Target{Name: "redis://x", Kind: Redis}
	for _, o := range operations() {
		err := redis.Fits(Mix{{o, 1}})
		if errors.Is(err, ErrUnfit) != (o.name == "wait") {
			t.Errorf("%s: %v", o.name, err)
		}
	}
}

func TestAnswersAreJudged(t *testing.T) {
	refusable := answer{text: "1 yes", refusal: "0 no"}
	counted := answer{counted: true, text: " holders"}
	marked := answer{mark: ":", counted: true, zero: true}
	ended := answer{text: "1 token=", end: " name=x"}
	tests := []struct {
		answer answer
		line   string
		want   verdict
	}{
		{exactly("1 pong"), "1 pong", right},
		{exactly("1 pong"), "1 pong ", wrong},
		{exactly("1 pong"), "", wrong},
		{refusable, "1 yes", right},
		{refusable, "0 no", refused},
		{refusable, "0 yes", wrong},
		{counted, "1 holders", right},
		{counted, "4711 holders", right},
		{counted, "0 holders", wrong},
		{counted, " holders", wrong},
		{counted, "3 holder", wrong},
		{marked, ":0", right},
		{marked, ":", wrong},
		{marked, "0", wrong},
		{marked, ":-1", wrong},
		{ended, "1 token=5 waited=0 name=x", right},
		{ended, "1 token= name=x", right},
		{ended, "1 token=name=x", wrong}, // the two parts must not overlap
		{ended, "1 token=5 waited=0 name=y", wrong},
		{ended, "0 token=5 waited=0 name=x", wrong},
	}
	for _, test := range tests {
		if got := test.answer.judge([]byte(test.line)); got != test.want {
			t.Errorf("%+v: %q is %v, want %v", test.answer, test.line, got, test.want)
		}
	}
}

func rounds(throughput ...float64) Result {
	var r Result
	for _, v := range throughput {
		r.Rounds = append(r.Rounds, Round{Succeeded: 1, Figures: Figures{OpsPerSecond: v, P50: -v}})
	}
	return r
}

func TestFiguresAreMediansOverTheRounds(t *testing.T) {
	m := rounds(5, 1, 9).Median()
	if m.OpsPerSecond != 5 || m.P50 != -5 || m.ServerCPU != nil {
		t.Errorf("%+v", m)
	}
	if m := rounds(1, 4, 2, 100).Median(); m.OpsPerSecond != 3 {
		t.Errorf("the median of an even number is %v", m.OpsPerSecond)
	}
	cpu := 7.0
	r := rounds(1, 2)
	r.Rounds[1].ServerCPU = &cpu
	if m := r.Median(); m.ServerCPU == nil || *m.ServerCPU != 7 {
		t.Errorf("the CPU time that is known is %v", m.ServerCPU)
	}
}

// The machine was ten times slower in the second round: that must not show.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	ratio, known := rounds(100, 10, 90).Ratio(rounds(200, 20, 190))
	if !known || ratio != 0.5 {
		t.Errorf("%v, %v", ratio, known)
	}
	if _, known := rounds(100).Ratio(rounds(0)); known {
		t.Error("there is a ratio to nothing")
	}
	if ratio, _ := rounds(1, 2, 3).Ratio(rounds(1)); ratio != 1 {
		t.Errorf("rounds that the other has not count: %v", ratio)
	}
}
