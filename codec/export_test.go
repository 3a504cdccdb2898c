package codec

import (
	"crypto/aes"
	"crypto/cipher"
)

// FixedNonceKey returns a key that encrypts every payload with one nonce, for known
// answers. It decrypts like any other.
func FixedNonceKey(id string, secret, nonce []byte) (*Key, error) {
	key, err := NewKey(id, secret)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	key.aead = fixedNonce{AEAD: key.aead, gcm: gcm, nonce: nonce}
	return key, nil
}

type fixedNonce struct {
	cipher.AEAD
	gcm   cipher.AEAD
	nonce []byte
}

func (f fixedNonce) Seal(dst, _, plaintext, additional []byte) []byte {
	return f.gcm.Seal(append(dst, f.nonce...), f.nonce, plaintext, additional)
}

// AdditionalData is what a payload is bound to.
var AdditionalData = additionalData

// BeforeSync has f called whenever the file was replaced, and its name is not yet durable.
func (r *FileKeyRing) BeforeSync(f func()) {
	sync := r.syncDir
	r.syncDir = func(dir string) error {
		f()
		return sync(dir)
	}
}
