package event

// Attribute is what OCSF says of an attribute of a class or of an object.
type Attribute struct {
	Name  string
	Type  string // a primitive type, whose name ends in _t, or the name of an object
	Array bool
}

// ClassAttributes returns the attributes of an OCSF class, sorted by their names, without those of profiles. It returns
// false for a class that is not known here.
func ClassAttributes(uid int64) ([]Attribute, bool) {
	s, err := ocsf()
	if err != nil {
		return nil, false
	}
	for _, class := range s.Classes {
		if class.ClassUID == uid {
			return class.list(), true
		}
	}
	return nil, false
}

// ObjectAttributes returns the attributes of an object of OCSF, sorted by their names. It returns false for an object
// whose attributes are not known here.
func ObjectAttributes(name string) ([]Attribute, bool) {
	s, err := ocsf()
	if err != nil {
		return nil, false
	}
	object, ok := s.Objects[name]
	return object.list(), ok
}

func (s *shape) list() (all []Attribute) {
	for _, name := range s.names {
		a := s.Attributes[name]
		all = append(all, Attribute{name, a.Type, a.Array})
	}
	return all
}
