package notification

// HashSecretCheaply is HashSecret for tests that are not about its cost.
func HashSecretCheaply(secret string) (string, error) { return hashSecret(secret, 1000) }
