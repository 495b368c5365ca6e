package euicc

import (
	"sync"
	"time"

	"github.com/iotregistry/sdk/internal/bsp"
)

// Faults makes a chip misbehave. The zero value is a good one. The numbers are
// those of SGP.22 where nothing else is said; others are sent as they are, up to 32767.
type Faults struct {
	Authenticate int // authenticateErrorCode of AuthenticateServer: 1 to 7, 127
	Prepare      int // downloadErrorCode of PrepareDownload: 1 to 5, 127
	Cancel       int // cancelSessionErrorCode: 5, 127
	Enable       int // enableResult: 1 to 5, 127
	Disable      int // disableResult: 1 to 3, 5, 127
	Delete       int // deleteResult: 1 to 3, 127

	// The numbers of SGP.32.
	AddInitialEIM      int // addInitialEimError: 1, 2, 3, 5, 6, 7, 127
	Package            int // euiccPackageErrorCode, signed: 3, 4, 6, 15, 104, 127
	PackageUnsigned    int // euiccPackageUnsignedErrorCode: 15, 127
	GetCerts           int // getCertsError: 1, 127
	MemoryReset        int // resetResult of both functions: 1, 5, 104, 127
	ResetEIMs          int // resetEimResult: 1, 2, 127
	ResetImmediate     int // resetImmediateEnableConfigResult: 1, 127
	ConfigureImmediate int // configImmediateEnableResult: 1, 2, 127
	ImmediateEnable    int // immediateEnableResult: 1, 4, 5, 127
	Rollback           int // cmdResult of ProfileRollback: 1, 5, 7, 127

	// Operation ends the next eUICC packages at an operation of theirs. Enable,
	// Disable and Delete are for those of packages too.
	Operation *OperationFault

	// Install ends the next packages at a command of theirs.
	Install *InstallFault

	// Status is called with each command APDU; a status word other than zero is
	// answered in place of carrying it out.
	Status func(command []byte) uint16

	// RemoveAt has the card removed during a command, counted from SetFaults: 1
	// is the next one; 0 never. RemoveDone says that the command takes effect and
	// only its answer is lost.
	RemoveAt   int
	RemoveDone bool

	Delay time.Duration // before each command
}

// InstallFault ends the installation of a bound profile package.
type InstallFault struct {
	// Command is the bppCommandId: 0 initialiseSecureChannel, 1 configureISDP, 2
	// storeMetadata, 3 storeMetadata2, 4 replaceSessionKeys, 5
	// loadProfileElements. A command that the package does not have is taken to
	// be where it would have been.
	Command int
	Reason  int // errorReason: 1 to 15, 127
}

// OperationFault ends an eUICC package of SGP.32.
type OperationFault struct {
	At         int // which operation of the package, 0 being the first
	Result     int // its result, in the codes of that operation
	Terminated int // processingTerminated in place of a result: 1, 2, 3, 127; 0: Result
}

// SetFaults replaces the faults and starts to count commands anew.
func (c *Chip) SetFaults(f Faults) {
	if f.Install != nil {
		own := *f.Install
		f.Install = &own
	}
	if f.Operation != nil {
		own := *f.Operation
		f.Operation = &own
	}
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	c.faults.set, c.faults.count = f, 0
}

// faultState has a lock of its own so that faults can be set while a command
// waits.
type faultState struct {
	mu      sync.Mutex
	set     Faults
	count   int
	removed bool
}

// fault is what happens to one command.
type fault struct {
	delay         time.Duration
	status        uint16
	removed, done bool
}

// next says what happens to the next command.
func (s *faultState) next(command []byte) (fault, error) {
	f, err := s.begin()
	if err != nil || f.statusOf == nil {
		return f.fault, err
	}
	f.status = f.statusOf(command) // without the lock: it may set other faults
	return f.fault, nil
}

// counted is a command's fault before its status word is known.
type counted struct {
	fault
	statusOf func(command []byte) uint16
}

func (s *faultState) begin() (counted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return counted{}, ErrRemoved
	}
	s.count++
	f := counted{statusOf: s.set.Status, fault: fault{delay: s.set.Delay, done: s.set.RemoveDone}}
	if s.set.RemoveAt > 0 && s.count == s.set.RemoveAt {
		f.removed, s.removed = true, true
	}
	return f, nil
}

func (s *faultState) insert() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = false
}

func (s *faultState) get() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set
}

// at returns the failure that is wanted once commands up to and including last
// have come; done says that no more will.
func (f *InstallFault) at(last bsp.Command, done bool) *bsp.Error {
	if f == nil {
		return nil
	}
	due := done || bsp.Command(f.Command) <= last || f.Command == int(bsp.StoreMetadata2) && last == bsp.StoreMetadata
	if !due {
		return nil
	}
	return &bsp.Error{Command: bsp.Command(f.Command), Reason: bsp.Reason(f.Reason), Err: errFault}
}
