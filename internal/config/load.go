package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// DefaultPath is where the file is looked for when nothing names another one.
const DefaultPath = "/etc/lockd/lockd.yaml"

// Options says where Load finds things. The zero value reads DefaultPath, if it
// exists, and nothing else.
type Options struct {
	// Path is the file to read, as --config names it. Empty is the file that
	// LOCKD_CONFIG names, else DefaultPath if that exists.
	Path string
	// DefaultPath replaces the constant DefaultPath; empty keeps it.
	DefaultPath string
	// LookupEnv looks up an environment variable, as os.LookupEnv does; nil is an
	// empty environment.
	LookupEnv func(name string) (string, bool)
	// Environ lists the variables there are, as os.Environ does. It is only looked
	// through for names that are nearly those of keys.
	Environ []string
	// Overrides holds what was given on the command line; of two with the same
	// key the later one counts.
	Overrides []Override
	// Passed holds the names of the sockets systemd passed. With one named lockd
	// the default of listen is empty, with one named http that of http.
	Passed []string
	// CheckAddress judges one address of listen, whatever its source; its error
	// should say what is wrong with the address and what would be right. Nil
	// takes every address.
	CheckAddress func(address string) error
}

// Override is a value given on the command line.
type Override struct {
	Key    string   // dotted, one of Keys
	Values []string // the items of a list, or exactly one value
	Origin string   // how users gave it: "flag --shutdown-grace"
}

// Loaded is a configuration and where it came from.
type Loaded struct {
	Config Config
	// File is the path of the file that was read; empty when there was none.
	File string
	// Warnings tell of variables that are no keys, but nearly.
	Warnings []string
	origins  map[string]string // by key; keys with their default have none
}

// Load reads the file, the environment and the overrides, checks all of them
// and merges them. Its error is errors.Join of everything that is wrong, an
// error a line, each with the file and line, the environment variable or the
// flag it is about. A file that was named but cannot be read is an error alone,
// and wraps that of the os package.
func Load(o Options) (*Loaded, error) {
	path, data, err := readFile(o)
	if err != nil {
		return nil, err
	}
	keys := table(o.CheckAddress)
	fromFile, fileErrors := parseFile(path, data, keys)
	fromEnvironment, environmentErrors := o.environment(keys)
	fromFlags, flagErrors := o.overrides(keys)
	defaults, systemdErrors := o.defaults()
	if err := errors.Join(slices.Concat(fileErrors, environmentErrors, flagErrors, systemdErrors)...); err != nil {
		return nil, err
	}
	loaded, err := merge(keys, path, defaults, fromFile, fromEnvironment, fromFlags)
	if err == nil {
		loaded.Warnings = misspelt(keys, o.Environ)
	}
	return loaded, err
}

// assignment is a value that some source gives to a key, checked and of the type
// Config has for it.
type assignment struct {
	key    string
	value  any
	origin string
}

// merge lays the sources over the defaults, the later ones on top.
func merge(keys []key, path string, sources ...[]assignment) (*Loaded, error) {
	loaded := &Loaded{File: path, origins: map[string]string{}}
	v := viper.New()
	for _, k := range keys {
		v.SetDefault(k.name, Default().value(k.name))
	}
	for _, source := range sources {
		for _, a := range source {
			v.Set(a.key, a.value)
			loaded.origins[a.key] = a.origin
		}
	}
	// No decode hook: viper's own would read text once more, and less strictly.
	if err := v.UnmarshalExact(&loaded.Config, viper.DecodeHook(nil)); err != nil {
		return nil, fmt.Errorf("merge configuration: %w", err)
	}
	return loaded, nil
}

// stateDirectory is the variable in which systemd hands over the directories of a
// unit's StateDirectory=, separated by colons.
const stateDirectory = "STATE_DIRECTORY"

// defaults returns what differs from Default because of systemd.
func (o Options) defaults() (as []assignment, problems []error) {
	if dirs, _ := o.lookup(stateDirectory); dirs != "" {
		const origin = "environment " + stateDirectory
		first, _, _ := strings.Cut(dirs, ":")
		if err := checkText(first); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", origin, err))
		}
		as = append(as, assignment{"state_dir", first, origin})
	}
	const origin = "systemd socket"
	for _, name := range o.Passed {
		switch name {
		case "lockd":
			as = append(as, assignment{"listen", []string{}, origin})
		case "http":
			as = append(as, assignment{"http", "", origin})
		}
	}
	return as, problems
}

// environment returns what the environment sets. An empty variable is an empty
// list, or switches off what can be off; elsewhere it counts as not set, as
// where a compose file passes on a variable that its user does not have.
func (o Options) environment(keys []key) (as []assignment, problems []error) {
	for _, k := range keys {
		text, found := o.lookup(k.environmentName())
		texts := []string{text}
		if k.kind.list != nil {
			texts = strings.Fields(text)
		} else if text == "" && !k.kind.empty {
			found = false
		}
		if !found {
			continue
		}
		origin := "environment " + k.environmentName()
		value, err := k.kind.value(texts)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", origin, err))
			continue
		}
		as = append(as, assignment{k.name, value, origin})
	}
	return as, problems
}

func (o Options) lookup(name string) (string, bool) {
	if o.LookupEnv == nil {
		return "", false
	}
	return o.LookupEnv(name)
}

func (o Options) overrides(keys []key) (as []assignment, problems []error) {
	for _, override := range o.Overrides {
		i := keyIndex(keys, override.Key)
		if i < 0 {
			problems = append(problems, fmt.Errorf("%s: %s: unknown key", override.Origin, show(override.Key)))
			continue
		}
		value, err := keys[i].kind.value(override.Values)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", override.Origin, err))
			continue
		}
		as = append(as, assignment{override.Key, value, override.Origin})
	}
	return as, problems
}
