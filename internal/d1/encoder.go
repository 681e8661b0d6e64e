package d1

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
)

// EncoderConfig says how orders are built.
type EncoderConfig struct {
	// JWEKeys are D1's public keys. Card data is encrypted to the first; the
	// others are known so that a ready-made JWE may use them during a change
	// of keys.
	JWEKeys []JWEKey
	// JWEFiles name the files of the keys instead. They are read again when
	// they change; while one of them is bad the old keys stay in use.
	JWEFiles []JWEFile
	// Warn is told, once, of a new key that cannot be used. nil: nobody is.
	Warn func(error)
	// Now is the clock. Default [time.Now].
	Now func() time.Time
	// Products are the card programs by cardProductId.
	Products map[string]issuance.Product
}

// maxJWE is the longest encryptedData D1 takes.
const maxJWE = 8192

const (
	channelThales  = "THALES" // Thales' personalization center; CENTRAL would be a partner's
	shipIndividual = "INDIVIDUAL"
)

// lookEvery is how often the files of keys are looked at: an order takes less
// time than that would.
const lookEvery = 2 * time.Second

// Encoder builds the bodies of orders. It is safe for concurrent use.
type Encoder struct {
	files    *reread[*sealer] // nil: the keys are fixed
	sealer   atomic.Pointer[sealer]
	looked   atomic.Int64 // when at the files, Unix time in nanoseconds
	now      func() time.Time
	products map[string]issuance.Product
}

// NewEncoder checks the configuration and returns an encoder.
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	e := &Encoder{products: maps.Clone(cfg.Products), now: cfg.Now}
	if e.now == nil {
		e.now = time.Now
	}
	var first *sealer
	var err error
	switch {
	case len(cfg.JWEKeys) > 0 && len(cfg.JWEFiles) > 0:
		err = errors.New("JWE keys are either given or in files")
	case len(cfg.JWEFiles) > 0:
		paths := make([]string, len(cfg.JWEFiles))
		for i, f := range cfg.JWEFiles {
			paths[i] = f.Path
		}
		e.files, err = newReread(func() (*sealer, error) { return loadSealer(cfg.JWEFiles) }, paths...)
		if err == nil {
			e.files.warn = naming("D1's new JWE keys cannot be used", cfg.Warn)
			first = e.files.get()
		}
	default:
		first, err = firstSealer(cfg.JWEKeys)
	}
	if err != nil {
		return nil, fmt.Errorf("configure D1 encoder: %w", err)
	}
	e.sealer.Store(first)
	e.looked.Store(e.now().UnixNano())
	return e, nil
}

func loadSealer(files []JWEFile) (*sealer, error) {
	keys := make([]JWEKey, len(files))
	for i, f := range files {
		var err error
		if keys[i], err = LoadJWEKey(f.Path, f.ID); err != nil {
			return nil, err
		}
	}
	return firstSealer(keys)
}

// firstSealer returns what encrypts to the first key, and checks the others.
func firstSealer(keys []JWEKey) (*sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("no JWE key")
	}
	var first *sealer
	for i, key := range keys {
		s, err := newSealer(key)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = s
		}
	}
	return first, nil
}

// seal returns what encrypts at this moment.
func (e *Encoder) seal() *sealer {
	if e.files != nil {
		now, looked := e.now().UnixNano(), e.looked.Load()
		due := now-looked >= int64(lookEvery) || now < looked // or the clock was put back
		if due && e.looked.CompareAndSwap(looked, now) {
			e.sealer.Store(e.files.get())
		}
	}
	return e.sealer.Load()
}

// Encode returns the complete body of a D1 order, card data encrypted. It
// fails for an instruction that validation should have kept away, and its
// errors hold nothing of the card or the person.
func (e *Encoder) Encode(in cardholder.Instruction) ([]byte, error) {
	product, ok := e.products[in.ProductID]
	if !ok {
		return nil, fmt.Errorf("encode order: unknown product %q", in.ProductID)
	}
	encrypted, err := e.encrypted(&in)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(newWireOrder(&in, &product, encrypted))
	if err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	return body, nil
}

// encrypted returns the ready-made JWE of an instruction, or makes one.
func (e *Encoder) encrypted(in *cardholder.Instruction) (string, error) {
	jwe := in.EncryptedData
	if jwe == "" {
		if in.Card == nil {
			return "", errors.New("encode order: no card data")
		}
		clearText, err := json.Marshal(newWireCard(in.Card))
		if err != nil {
			return "", fmt.Errorf("encode card data: %w", err)
		}
		sealed, err := e.seal().appendJWE(make([]byte, 0, 1024), clearText)
		clear(clearText)
		if err != nil {
			return "", fmt.Errorf("encrypt card data: %w", err)
		}
		jwe = string(sealed)
	}
	if len(jwe) > maxJWE {
		return "", fmt.Errorf("encode order: %d bytes of encrypted data are over %d", len(jwe), maxJWE)
	}
	return jwe, nil
}

func newWireCard(c *cardholder.Card) *wireCard {
	return &wireCard{
		PAN:               c.PAN.Reveal(),
		Expiry:            c.Expiry.Reveal(),
		Name:              c.Name.Reveal(),
		SecondName:        c.SecondName.Reveal(),
		EncodedName:       c.EncodedName.Reveal(),
		CVV1:              c.CVV1.Reveal(),
		CVV2:              c.CVV2.Reveal(),
		PVV:               c.PVV.Reveal(),
		PANSequenceNumber: c.PANSequenceNumber.Reveal(),
		EffectiveDate:     c.EffectiveDate.Reveal(),
	}
}

func newWireOrder(in *cardholder.Instruction, product *issuance.Product, encrypted string) *wireOrder {
	order := &wireOrder{
		DistributionChannel: channelThales,
		ConsumerID:          in.ConsumerID,
		CardProductID:       in.ProductID,
		IssuerRequestID:     in.OrderID,
		Services: wireServices{
			Issuance:    in.Issuance,
			Priority:    in.Priority,
			Delivery:    in.Delivery,
			CardCarrier: cmp.Or(in.CardCarrier, product.DefaultCarrier),
			Packaging:   cmp.Or(in.Packaging, product.DefaultPackaging),
			PINMailer:   in.PINMailer,
		},
		EncryptedData: encrypted,
		PaymentApplication: wireApplication{
			Config:             product.ChipConfig,
			ODAKeyIndex:        product.ODAKeyIndex,
			DerivationKeyIndex: product.DerivationKeyIndex,
			CVKeyIndex:         product.CVKeyIndex,
			PVKeyIndex:         product.PVKeyIndex,
		},
		Shipment: wireOrderShipment{
			Type:              cmp.Or(in.ShipmentType, shipIndividual),
			DeliveryAddress:   newWireAddress(&in.DeliveryAddress),
			IndividualAddress: newWireAddress(&in.IndividualAddress),
			GroupID:           in.GroupID,
			OrderID:           in.DispatchID,
		},
	}
	if in.IndividualAddress.IsZero() {
		order.Shipment.IndividualAddress = order.Shipment.DeliveryAddress
	}
	if in.CardImage != "" || len(in.DesignLines) > 0 || !in.MemberID.IsZero() {
		order.CardDesign = &wireDesign{
			CardImage: in.CardImage, CustomLines: reveal(in.DesignLines), MemberID: in.MemberID.Reveal(),
		}
	}
	if in.CarrierLanguage != "" || len(in.CarrierLines) > 0 {
		order.CardCarrierConfig = &wireCarrierConfig{Language: in.CarrierLanguage, CustomLines: reveal(in.CarrierLines)}
	}
	if len(in.Inserts) > 0 {
		order.PackagingConfig = &wirePackaging{Inserts: in.Inserts}
	}
	return order
}

func newWireAddress(a *cardholder.Address) wireAddress {
	return wireAddress{
		Title:             a.Title.Reveal(),
		FirstName:         a.FirstName.Reveal(),
		LastName:          a.LastName.Reveal(),
		CompanyName:       a.CompanyName.Reveal(),
		Line1:             a.Line1.Reveal(),
		Line2:             a.Line2.Reveal(),
		Line3:             a.Line3.Reveal(),
		City:              a.City.Reveal(),
		State:             a.State.Reveal(),
		ZipCode:           a.ZipCode.Reveal(),
		CountryCode:       a.CountryCode.Reveal(),
		MobilePhoneNumber: a.Phone.Reveal(),
	}
}

func reveal(lines []cardholder.Text) []string {
	texts := make([]string, len(lines))
	for i, line := range lines {
		texts[i] = line.Reveal()
	}
	return texts
}
