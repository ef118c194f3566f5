package event

// place is a position in an event whose value weir reads. All other positions are other.
type place uint8

const (
	other place = iota
	root
	eventTime
	classUID
	metadata
	metadataUID
	metadataLogName
	metadataTenant
	metadataLogged
	entity
	entityName
	entityType
	resources
	resource // element of resources; the values of its members are kept until it ends
	resourceName
	resourceType
	unmapped
	facts // weir's facts
	factsTaken
	factsBy
	claims // member that the event had in the place of the facts when it was sent
	param
	paramName
	ts // of mongod's own schema
	tsDate
	t // of mongod's log format
	tDate
	tLong
	attr     // of mongod's log format
	rootName // name of a stream processor, in an operational line
	attrName // the same in attr
	places   // number of places
)

// span is the byte range of a value in the event. The zero span means that there is no value.
type span struct{ start, end int }

func (s span) of(b []byte) []byte { return b[s.start:s.end] }
func (s span) missing() bool      { return s.end == 0 }

// member returns the place of a member, given its name and the place of its object.
func (at place) member(name []byte) place {
	switch at {
	case root:
		return ofRoot(name)
	case metadata:
		switch string(name) {
		case "uid":
			return metadataUID
		case "log_name":
			return metadataLogName
		case "tenant_uid":
			return metadataTenant
		case "logged_time":
			return metadataLogged
		}
	case entity:
		return nameOrType(name, entityName, entityType)
	case resource:
		return nameOrType(name, resourceName, resourceType)
	case unmapped:
		switch string(name) {
		case "param":
			return param
		case "weir":
			return facts
		}
	case facts:
		switch string(name) {
		case "taken":
			return factsTaken
		case "by":
			return factsBy
		case "claimed":
			return claims
		}
	case claims:
		if string(name) == "claimed" {
			return claims
		}
	case param:
		return nameOrType(name, paramName, other)
	case t:
		if string(name) == "$date" {
			return tDate
		}
	case tDate:
		if string(name) == "$numberLong" {
			return tLong
		}
	case attr:
		if isProcessor(name) {
			return attrName
		}
	case ts:
		if string(name) == "$date" {
			return tsDate
		}
	}
	return other
}

func ofRoot(name []byte) place {
	switch string(name) {
	case "time":
		return eventTime
	case "class_uid":
		return classUID
	case "metadata":
		return metadata
	case "entity":
		return entity
	case "resources":
		return resources
	case "unmapped":
		return unmapped
	case "ts":
		return ts
	case "t":
		return t
	case "attr":
		return attr
	}
	if isProcessor(name) {
		return rootName
	}
	return other
}

// isProcessor tells whether a member of that name holds the name of a stream processor.
func isProcessor(name []byte) bool {
	switch string(name) {
	case "processor", "processorName", "spName", "streamProcessorName":
		return true
	}
	return false
}

func nameOrType(name []byte, ifName, ifType place) place {
	switch string(name) {
	case "name":
		return ifName
	case "type":
		return ifType
	}
	return other
}
