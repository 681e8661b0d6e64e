package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

const (
	controlSuffix = ".ctl"
	takenSuffix   = ".taken"
	maxControl    = 64 << 10 // bytes; a control file is a few hundred
)

// maxName is the most bytes that the name of an order file may have, as in the
// contract of the control file. Names that we derive from it, such as that of
// the receipt in the quarantine, must stay below the 255 of file systems.
const maxName = 200

// nameable reports whether names of ours can be derived from that of a file.
func nameable(name string) bool { return len(name) <= maxName && drop.CheckName(name) == nil }

// takenName is the unique name under which a claimed file hides, in its own
// directory because servers always allow that rename. It is derived, so that a
// restart finds the file again.
func takenName(b *issuance.Batch, name string) string { return "." + name + "." + b.ID + takenSuffix }

// hide renames a file of a claimed batch to its taken name. It may be repeated:
// a file that is hidden already stays so.
func (s *Stage) hide(ctx context.Context, src *Source, b *issuance.Batch, name string) error {
	from := path.Join(src.Directory, name)
	to := path.Join(src.Directory, takenName(b, name))
	err := src.Drop.Rename(ctx, from, to)
	if errors.Is(err, drop.ErrNotExist) || errors.Is(err, drop.ErrExist) {
		there, lookErr := s.exists(ctx, src, src.Directory, takenName(b, name))
		if lookErr != nil {
			return lookErr
		}
		if there {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("take %s: %w", from, err)
	}
	return nil
}

func (s *Stage) exists(ctx context.Context, src *Source, dir, name string) (bool, error) {
	entries, err := src.Drop.List(ctx, dir)
	if err != nil {
		return false, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name == name {
			return true, nil
		}
	}
	return false, nil
}

// readControl returns the bytes of the hidden control file. It fails with
// [fs.ErrPermission] when the file may not be read.
func (s *Stage) readControl(ctx context.Context, src *Source, b *issuance.Batch) (_ []byte, err error) {
	f, err := src.Drop.Open(ctx, path.Join(src.Directory, takenName(b, b.FileName+controlSuffix)))
	if err != nil {
		return nil, fmt.Errorf("open control file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err := io.ReadAll(io.LimitReader(f, maxControl+1))
	if err != nil {
		return nil, fmt.Errorf("read control file: %w", err)
	}
	return content, nil
}

// archiveDecided moves the originals that an earlier run could not.
func (s *Stage) archiveDecided(ctx context.Context, src *Source) error {
	left, err := s.Store.UnarchivedBatches(ctx, src.Name)
	if err != nil {
		return fmt.Errorf("find files to archive: %w", err)
	}
	for _, b := range left {
		if err := s.archive(ctx, src, b, b.State); err != nil {
			return err // likely the same for the others
		}
	}
	return nil
}

// archive moves the original and its control file to where a decided file
// belongs, under their own names or, where those are taken, under names made
// unique by the batch's id. The verdict is committed already: failing here is
// repaired by the next run.
func (s *Stage) archive(ctx context.Context, src *Source, b issuance.Batch, state issuance.BatchState) error {
	dir := src.Archive
	if state == issuance.BatchRefused {
		dir = src.Quarantine
	}
	free, err := ownNamesFree(ctx, src, &b, dir)
	if err != nil {
		return fmt.Errorf("archive %s: %w", b.FileName, err)
	}
	where, err := s.moveTaken(ctx, src, &b, b.FileName, dir, free)
	if err != nil {
		return fmt.Errorf("archive %s: %w", b.FileName, err)
	}
	if src.Completion == ByControl {
		control := b.FileName + controlSuffix
		if _, err := s.moveTaken(ctx, src, &b, control, dir, path.Base(where) == b.FileName); err != nil {
			return fmt.Errorf("archive %s: %w", control, err)
		}
	}
	if err := s.Store.MarkArchived(ctx, b.No, where); err != nil {
		return fmt.Errorf("record the archived file: %w", err)
	}
	return nil
}

// uniqueName is the name of an archived file that cannot have its own.
func uniqueName(b *issuance.Batch, name string) string { return b.ID + "_" + name }

// ownNamesFree reports whether both the file and its control file can have
// their own names in dir. By its name alone a control file must not come to
// stand beside another's order file.
func ownNamesFree(ctx context.Context, src *Source, b *issuance.Batch, dir string) (bool, error) {
	entries, err := src.Drop.List(ctx, dir)
	if err != nil {
		return false, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name == b.FileName || e.Name == b.FileName+controlSuffix {
			return false, nil
		}
	}
	return true, nil
}

// moveTaken moves a hidden file into dir, under its own name or a unique one,
// and returns where it is then. It may be repeated.
func (s *Stage) moveTaken(ctx context.Context, src *Source, b *issuance.Batch, name, dir string, own bool) (string, error) {
	from := path.Join(src.Directory, takenName(b, name))
	targets := []string{path.Join(dir, name), path.Join(dir, uniqueName(b, name))}
	if !own {
		targets = targets[1:]
	}
	var err error
	for _, to := range targets {
		err = src.Drop.Rename(ctx, from, to)
		if err == nil {
			return to, nil
		}
		if !errors.Is(err, drop.ErrExist) {
			break
		}
	}
	if !errors.Is(err, drop.ErrNotExist) {
		return "", err
	}
	return s.findMoved(ctx, src, b, name, dir)
}

// findMoved looks for a file that an earlier run has moved.
func (s *Stage) findMoved(ctx context.Context, src *Source, b *issuance.Batch, name, dir string) (string, error) {
	for _, moved := range []string{uniqueName(b, name), name} {
		there, err := s.exists(ctx, src, dir, moved)
		if err != nil {
			return "", err
		}
		if there {
			return path.Join(dir, moved), nil
		}
	}
	// Nothing is lost, the batch is decided; but somebody else moves our files.
	s.Logger.Error().Str("source", src.Name).Str("batch", b.ID).Str("file", name).
		Msg("the original has vanished from the drop before it was archived: does another program clean up there?")
	return path.Join(dir, name), nil
}
