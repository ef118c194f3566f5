package event

// Attribute is OCSF's definition of an attribute of a class or of an object.
type Attribute struct {
	Name  string
	Type  string // a primitive type, whose name ends in _t, or the name of an object
	Array bool
}

// ClassAttributes returns the attributes of an OCSF class, sorted by name, without those of profiles. It returns false
// if the class is not known here.
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

// ObjectAttributes returns the attributes of an OCSF object, sorted by name. It returns false if the object is not
// known here.
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
