package validate

import (
	"strings"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/orderfile"
)

// Transliteration is how the letters of names become letters that can be
// embossed, for products that allow it: on each line first what is written,
// then the letters it is written for. It follows ICAO Doc 9303 part 3 section
// 6; where that gives a choice, the first. schemas/README.md repeats it.
const Transliteration = `
A   À Á Â Ã Ā Ă Ą Ǎ
AA  Å
AE  Ä Æ
C   Ç Ć Ĉ Ċ Č
D   Ď Đ Ð
E   È É Ê Ë Ē Ĕ Ė Ę Ě
G   Ĝ Ğ Ġ Ģ
H   Ĥ Ħ
I   Ì Í Î Ï Ĩ Ī Ĭ Į İ
IJ  Ĳ
J   Ĵ
K   Ķ
L   Ĺ Ļ Ľ Ŀ Ł
N   Ñ Ń Ņ Ň Ŋ
O   Ò Ó Ô Õ Ō Ŏ Ő
OE  Ö Ø Œ
R   Ŕ Ŗ Ř
S   Ś Ŝ Ş Š Ș
SS  ẞ
T   Ţ Ť Ŧ Ț
TH  Þ
U   Ù Ú Û Ũ Ū Ŭ Ů Ű Ų Ǔ
UE  Ü
W   Ŵ Ẁ Ẃ Ẅ
Y   Ý Ŷ Ÿ Ỳ
Z   Ź Ż Ž
a   à á â ã ā ă ą ǎ
aa  å
ae  ä æ
c   ç ć ĉ ċ č
d   ď đ ð
e   è é ê ë ē ĕ ė ę ě
g   ĝ ğ ġ ģ
h   ĥ ħ
i   ì í î ï ĩ ī ĭ į ı
ij  ĳ
j   ĵ
k   ķ
l   ĺ ļ ľ ŀ ł
n   ñ ń ņ ň ŋ
o   ò ó ô õ ō ŏ ő
oe  ö ø œ
r   ŕ ŗ ř
s   ś ŝ ş š ș ſ
ss  ß
t   ţ ť ŧ ț
th  þ
u   ù ú û ũ ū ŭ ů ű ų ǔ
ue  ü
w   ŵ ẁ ẃ ẅ
y   ý ŷ ÿ ỳ
z   ź ż ž
'   ‘ ’ ‛ ′ ʹ ʼ ´
-   ‐ ‑ ‒ – — −
`

// embossed maps a letter to what is written for it.
type embossed map[rune]string

func newEmbossed() embossed {
	table := embossed{}
	for line := range strings.Lines(strings.TrimSpace(Transliteration)) {
		cells := strings.Fields(line)
		for _, letter := range cells[1:] {
			for _, r := range letter {
				table[r] = cells[0]
			}
		}
	}
	table['\u00A0'], table['\u202F'] = " ", " " // spaces that do not break
	return table
}

// write returns a name in letters that can be embossed, and whether it had to
// change. Combining accents, which some systems write after the letter, are
// joined with it first; those that the table does not know are dropped.
func (table embossed) write(name string) (string, bool) {
	if isASCII(name) { // nearly always
		return name, false
	}
	var b strings.Builder
	runes := []rune(name)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		if i+1 < len(runes) {
			if joined := join(r, runes[i+1]); joined != 0 {
				r = joined
				i++
			}
		}
		switch written, ok := table[r]; {
		case ok:
			b.WriteString(written)
		case r >= '\u0300' && r <= '\u036F' && b.Len() > 0:
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), b.String() != name
}

// join returns the letters with a combining mark that the table writes in
// another way than the bare letter. The others need not be joined.
func join(letter, mark rune) rune {
	switch mark {
	case '\u0308': // diaeresis
		return map[rune]rune{'A': 'Ä', 'O': 'Ö', 'U': 'Ü', 'a': 'ä', 'o': 'ö', 'u': 'ü'}[letter]
	case '\u030A': // ring
		return map[rune]rune{'A': 'Å', 'a': 'å'}[letter]
	default:
		return 0
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// transliterate returns the row with the names as they will be embossed, or the
// row itself when its product does not allow it or nothing changes.
func (v *Validator) transliterate(r *orderfile.Row) *orderfile.Row {
	p, ok := v.products[r.CardProductID]
	if !ok || !p.Transliterate {
		return r
	}
	name, changed := v.embossed.write(r.CardholderName.Reveal())
	second, secondChanged := v.embossed.write(r.SecondName.Reveal())
	if !changed && !secondChanged {
		return r
	}
	own := *r
	own.CardholderName, own.SecondName = cardholder.NewText(name), cardholder.NewText(second)
	return &own
}
