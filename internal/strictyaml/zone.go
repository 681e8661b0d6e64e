package strictyaml

import (
	"fmt"
	"time"
)

// Zone is a time zone by its IANA name.
type Zone struct{ *time.Location }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (z *Zone) UnmarshalText(b []byte) error {
	name := string(b)
	if name == "" || name == "Local" {
		return fmt.Errorf("%q is not a time zone; write an IANA name such as Europe/Paris", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return fmt.Errorf("%q is not a time zone this machine knows; write an IANA name such as Europe/Paris", name)
	}
	z.Location = loc
	return nil
}
