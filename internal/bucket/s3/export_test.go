package s3

// ForgetTrial makes the next Writable put an object.
func (b *Bucket) ForgetTrial() { b.trial.Forget() }
