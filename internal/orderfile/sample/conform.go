package sample

import (
	"fmt"
	"reflect"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/orderfile"
)

// Conform returns what makes a row one that a format can express: columns that
// its files do not have get the format's constants, or nothing.
func Conform(f orderfile.Format) func(*orderfile.Row) error {
	set := map[string]string{}
	for _, name := range orderfile.Schema().Names() {
		if _, there := f.Columns[name]; f.Columns != nil && !there {
			set[name] = ""
		}
	}
	for name, value := range f.Constants {
		set[name] = value
	}
	fields := columnFields()
	return func(row *orderfile.Row) error {
		for name, value := range set {
			cell := reflect.ValueOf(row).Elem().Field(fields[name]).Addr().Interface()
			switch cell := cell.(type) {
			case *string:
				*cell = value
			case *cardholder.Text:
				*cell = cardholder.NewText(value)
			case *cardholder.PAN:
				*cell = cardholder.NewPAN(value)
			default:
				return fmt.Errorf("conform to the format: column %s is of an unknown type", name)
			}
		}
		mend(row)
		return nil
	}
}

// mend removes what has lost the columns it depends on.
func mend(row *orderfile.Row) {
	if row.ShipmentType != "BULK" || row.GroupID == "" {
		row.ShipmentType, row.GroupID, row.DispatchID = "", "", ""
	}
	if row.DeliveryFirstName.IsZero() && row.DeliveryLastName.IsZero() && row.DeliveryCompanyName.IsZero() {
		row.DeliveryCompanyName = cardholder.NewText("Testowa & Fils")
	}
	if row.IndividualLine1.IsZero() || row.IndividualLastName.IsZero() || row.IndividualCity.IsZero() ||
		row.IndividualZipCode.IsZero() || row.IndividualCountryCode == "" {
		none := cardholder.Text{}
		row.IndividualFirstName, row.IndividualLastName, row.IndividualLine1 = none, none, none
		row.IndividualCity, row.IndividualZipCode, row.IndividualCountryCode = none, none, ""
	}
}

// columnFields returns the index of the field of each column.
func columnFields() map[string]int {
	fields := map[string]int{}
	t := reflect.TypeFor[orderfile.Row]()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("csv"); name != "" {
			fields[name] = i
		}
	}
	return fields
}
