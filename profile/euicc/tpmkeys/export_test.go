package tpmkeys

// ParseWrapped reads a wrapped key without a TPM.
func ParseWrapped(text []byte) error {
	der, _, err := block(text, keyBlock)
	if err != nil {
		return err
	}
	return ParseDER(der)
}

// ParseDER reads what is in its PEM block; the key may be for either use.
func ParseDER(der []byte) error {
	w, err := parseWrapped(der)
	if err != nil {
		return err
	}
	if _, err = new(TPM).key(agreement, w.Public, w.Private); err != nil {
		_, err = new(TPM).key(signing, w.Public, w.Private)
	}
	return err
}
