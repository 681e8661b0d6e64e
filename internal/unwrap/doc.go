// Package unwrap takes compressed order files apart while they are read: gzip
// and ZIP, exactly one member, nothing before and nothing after it.
//
// Nothing is ever on disk and memory stays constant, whatever the file claims
// of itself. That is why ZIP is read front to back here and not by archive/zip,
// which needs random access and so would need the whole file in memory or in
// clear on disk. What is lost by that is little: a stored (not deflated) member
// whose size is not known in front of it is refused, and so are encrypted
// members. What the directory at the end says must agree with what was read.
//
// Against bombs there are two limits: the bytes that come out, and how many
// times more they are than those that went in. A file beyond them is too large.
//
// The reader reads its source to the very end before it returns [io.EOF], so a
// checksum over the dropped bytes is complete by then and whatever wrapped the
// source had its chance to object. Errors of the source come out as they are;
// what is wrong with the file is an [issuance.FileError].
package unwrap
