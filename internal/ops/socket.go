package ops

import (
	"errors"
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// Socket returns the listening socket that systemd has bound and passes under
// that name (FileDescriptorName= of the socket unit), to be used and closed by
// the caller. The socket itself stays open in systemd: what connects while no
// process listens waits for the next one.
//
// It takes all sockets that were passed, and closes the others: it is called once.
func Socket(name string) (net.Listener, error) {
	all, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("take the sockets that systemd passes: %w", err)
	}
	found := all[name]
	var problem error
	switch {
	case len(found) != 1:
		problem = fmt.Errorf("take the socket %s that systemd passes: there are %d; is cardbatch.socket enabled, and did systemd start this process?",
			name, len(found))
	case found[0].Addr().Network() != "tcp":
		problem = fmt.Errorf("take the socket %s that systemd passes: it is no TCP socket", name)
	}
	for other, listeners := range all {
		for _, l := range listeners {
			if problem != nil || other != name {
				problem = errors.Join(problem, l.Close())
			}
		}
	}
	if problem != nil {
		return nil, problem
	}
	return found[0], nil
}
