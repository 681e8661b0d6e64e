package calendar

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/at"
	"github.com/rickar/cal/v2/be"
	"github.com/rickar/cal/v2/bg"
	"github.com/rickar/cal/v2/br"
	"github.com/rickar/cal/v2/ca"
	"github.com/rickar/cal/v2/ch"
	"github.com/rickar/cal/v2/cz"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/ecb"
	"github.com/rickar/cal/v2/es"
	"github.com/rickar/cal/v2/fr"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/gr"
	"github.com/rickar/cal/v2/hr"
	"github.com/rickar/cal/v2/ie"
	"github.com/rickar/cal/v2/it"
	"github.com/rickar/cal/v2/jp"
	"github.com/rickar/cal/v2/lt"
	"github.com/rickar/cal/v2/lv"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/nz"
	"github.com/rickar/cal/v2/pl"
	"github.com/rickar/cal/v2/ro"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/si"
	"github.com/rickar/cal/v2/sk"
	"github.com/rickar/cal/v2/us"
	"github.com/rickar/cal/v2/za"
)

// Countries lists whose holidays are known, by their ISO 3166-1 codes, and
// TARGET for the days on which euro payments rest.
func Countries() []string {
	return strings.Fields("AT BE BG BR CA CH CZ DE DK ES FR GB GR HR IE IT JP LT LV NL NO NZ PL RO SE SI SK US ZA TARGET")
}

// holidays are the national holidays of a country, nil of one not known.
func holidays(country string) []*cal.Holiday { //nolint:cyclop,funlen // a table; as a map it would be built for every day
	switch country {
	case "AT":
		return at.Holidays
	case "BE":
		return be.Holidays
	case "BG":
		return bg.Holidays
	case "BR":
		return br.Holidays
	case "CA":
		return ca.Holidays
	case "CH":
		return ch.Holidays
	case "CZ":
		return cz.Holidays
	case "DE":
		return de.Holidays
	case "DK":
		return dk.Holidays
	case "ES":
		return es.Holidays
	case "FR":
		return fr.Holidays
	case "GB":
		return gb.Holidays
	case "GR":
		return gr.Holidays
	case "HR":
		return hr.Holidays
	case "IE":
		return ie.Holidays
	case "IT":
		return it.Holidays
	case "JP":
		return jp.Holidays
	case "LT":
		return lt.Holidays
	case "LV":
		return lv.Holidays
	case "NL":
		return nl.Holidays
	case "NO":
		return no.Holidays
	case "NZ":
		return nz.Holidays
	case "PL":
		return pl.Holidays
	case "RO":
		return ro.Holidays
	case "SE":
		return se.Holidays
	case "SI":
		return si.Holidays
	case "SK":
		return sk.Holidays
	case "US":
		return us.Holidays
	case "ZA":
		return za.Holidays
	case "TARGET":
		return ecb.Holidays
	}
	return nil
}

// CheckCountry says what is wrong with the name of a country. Empty is right.
func CheckCountry(country string) error {
	if country == "" || holidays(country) != nil {
		return nil
	}
	return fmt.Errorf("the holidays of %q are not known; list dates_off, or write one of %s", country, strings.Join(Countries(), ", "))
}

// Weekday is a day of the week by its English name.
type Weekday time.Weekday

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Weekday) UnmarshalText(b []byte) error {
	for day := time.Sunday; day <= time.Saturday; day++ {
		if strings.EqualFold(day.String(), string(b)) {
			*d = Weekday(day)
			return nil
		}
	}
	return fmt.Errorf("%q is not a day of the week; write monday to sunday", b)
}

// Date is a day, as YYYY-MM-DD.
type Date string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Date) UnmarshalText(b []byte) error {
	if _, err := time.Parse(time.DateOnly, string(b)); err != nil {
		return fmt.Errorf("%q is not a date; write YYYY-MM-DD", b)
	}
	*d = Date(b)
	return nil
}

// Days are the days off of a place. The zero value has none.
type Days struct {
	Country  string // one of [Countries], or empty
	DaysOff  []Weekday
	DatesOff []Date
}

// Off reports whether a day is off; of day only the date counts, as it stands
// there, whatever its zone.
func (d *Days) Off(day time.Time) bool {
	return slices.Contains(d.DaysOff, Weekday(day.Weekday())) ||
		slices.Contains(d.DatesOff, Date(day.Format(time.DateOnly))) ||
		d.holiday(day)
}

func (d *Days) holiday(day time.Time) bool {
	if d.Country == "" {
		return false
	}
	year, month, date := day.Date()
	calendar := cal.Calendar{Holidays: holidays(d.Country)}
	actual, observed, _ := calendar.IsHoliday(time.Date(year, month, date, 12, 0, 0, 0, time.UTC))
	return actual || observed
}

// longest is how many days in a row are looked at for a working day.
const longest = 366

// Next returns the first working day from a day on, at 00:00 in UTC as a bare
// date. It reports false when there is none for a year.
func (d *Days) Next(day time.Time) (time.Time, bool) {
	day = bare(day)
	for range longest {
		if !d.Off(day) {
			return day, true
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}, false
}

// Add returns the day that is n working days after a day: the first one from
// the day on for 0. It reports false when there are not enough of them.
func (d *Days) Add(day time.Time, n int) (time.Time, bool) {
	day, ok := d.Next(day)
	for ; ok && n > 0; n-- {
		day, ok = d.Next(day.AddDate(0, 0, 1))
	}
	return day, ok
}

// bare is a day as a date without a zone.
func bare(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}
