// Package calendar answers when something may happen: on which days people
// work, at which hours orders may be sent, and what a cut-off time does to
// them. It is pure; the clock is always given.
//
// # Days
//
// [Days] are the days off of a place: weekdays, the public holidays of a
// country (see [Countries]), and single dates. Where a holiday is moved to
// another day because it falls on a weekend, both days are off. A country's
// list has its national holidays; what only a region keeps must be listed.
//
// # Hours
//
// [Hours] puts two things together that are told in two time zones: the windows
// in which orders may be sent to D1, in the issuer's, and the cut-off of the
// personalization center, in the center's. What is ordered after the cut-off,
// or on one of the center's days off, counts for a later day in production; it
// may go at once all the same, or wait until that day has begun, by choice, and
// by another choice for urgent orders.
//
// # Time zones
//
// Days, windows and cut-offs are counted on the wall clock and then placed in
// their zone, see [Place]. A window begins and ends the first time that the
// wall clock shows its times. In a spring night, a time that is left out counts
// as the moment of the change, so a window within the hour left out does not
// come that night.
package calendar
