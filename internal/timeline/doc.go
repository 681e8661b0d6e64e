// Package timeline tells the life of one order in words that can be read out
// to a customer: received, in which file and line, sent, what D1 said of it and
// how we came to know, where the parcel is, and the reports that carried it.
//
//	story := timeline.Tell(timeline.Life{Order: o, Batch: b, ...})
//	story.Now      "handed to the carrier; InTransit with dhl, tracking number ..."
//	story.Entries  oldest first
//
// It is pure: events and rows come in, words go out. Nothing in a life is card
// or personal data beyond the masked PAN, so neither is anything in a story.
// What the words leave out, D1's and our own names of states, stays in
// [Entry.Term], for whoever has to look further.
package timeline
