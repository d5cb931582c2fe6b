// Package configs holds the configuration file that is shipped.
package configs

import _ "embed"

// Default is the commented default file: every key with its default, each
// commented out, so that shipping it changes nothing. Nobody changes its bytes.
//
//go:embed lockd.yaml
var Default []byte
