// Package rehearsal is what surrounds a cardbatch on one machine: a bank's SFTP
// server, a simulated Thales D1 with its Shopfloor, keys, jobs and a
// configuration that names them all, in a directory of its own; and cardbatch
// itself as a process that can be killed. The demo plays a night in it, and
// package night proves what must hold when the night goes wrong.
//
//	world, err := rehearsal.New(ctx, rehearsal.Config{Dir: dir, Seed: 1, ...})
//	defer world.Close()
//	daemon := rehearsal.NewProcess(log, "cardbatch", "--config", world.ConfigFile, "serve", ...)
//	err = daemon.Start(ctx)
//	file, err := rehearsal.NewOrderFile("cards-1.csv", 1, sample.Options{...})
//	err = file.Drop(world.Path("sftp/drop"))
//	...
//	err = daemon.Kill()
//	reports, err := rehearsal.ReadReports(world.Path("sftp/reports"))
//
// Below its directory:
//
//	cardbatch.yaml            the configuration
//	jobs, keys                what it names
//	sftp/drop archive quarantine reports
//	state                     the daemon's
//
// SFTP server and D1 live in the process that made the world, so they survive
// whatever happens to the daemon. Passwords and keys are made for one world and
// worth nothing elsewhere.
//
// The job schedule of a rehearsal runs on a faster clock ([schedule.Fast]):
// minutes pass in a fraction of a second. Everything else keeps real time.
package rehearsal
