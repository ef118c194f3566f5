package mongodb

import (
	"errors"

	"github.com/weirlog/weir/internal/connect"
)

// Audit is the format of the lines of a server's audit log.
type Audit struct{}

// Name returns what the format is called.
func (Audit) Name() string { return "a line of MongoDB's audit log" }

// Map appends the event that a line becomes. One that is OCSF stays as it is.
func (Audit) Map(dst, line []byte, uid string) ([]byte, error) {
	if _, ok := connect.OCSF(line); ok {
		return connect.WithUID(dst, line, uid), nil
	}
	var atype, at string
	if err := fields(line, map[string]*string{"atype": &atype, "ts.$date": &at}); err != nil {
		return dst, err
	}
	if atype == "" || at == "" {
		return dst, errors.New("it has neither class_uid and time nor atype and ts")
	}
	ms, err := instant(at)
	if err != nil {
		return dst, err
	}
	b := connect.Base{Time: ms, Activity: atype, Message: atype, Product: "MongoDB Server", UID: uid, Code: atype,
		OriginalTime: at}
	return b.Append(dst, func(dst []byte) []byte {
		dst = append(connect.Name(dst, "unmapped"), '{')
		dst = connect.String(connect.Name(dst, "atype"), atype)
		return append(append(connect.Name(dst, "audit"), line...), '}')
	}), nil
}
