package event
import ("encoding/json";"bytes")
type Fields struct { Time int64; UID []byte; Processors []string }
type Parser struct{}
func (p *Parser) Scan(line []byte) (Fields, error) { var v struct{ Time int64; Metadata struct{UID string}; Entity struct{Type, Name string}}; err := json.Unmarshal(line,&v); f := Fields{Time:v.Time, UID: []byte(v.Metadata.UID)}; if v.Entity.Name!="" { f.Processors=[]string{v.Entity.Name}}; return f, err }
func (f Fields) Concerns(p string) bool { for _, q := range f.Processors { if q==p {return true}}; return false }
func MayConcern(line []byte, p string) bool { return bytes.Contains(line, []byte(p)) }
