package registry_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/registry"
)

// model is what must hold, written from the documentation and as simply as it can
// be: no batches beyond what the answers show, no store, no concurrency. Times are
// in seconds; profiles are numbered by device, from 1.
type model struct {
	Now       int64
	Devices   map[string]*mDevice
	Profiles  map[string][]*mProfile // of each device ID, oldest first, for ever
	Transfers map[string][]*mTransfer
	Codes     map[string]*mCode
	Guesses   map[string]*mGuess // by device and requester
	Messages  map[string][]mMessage
	Audit     map[string]int   // entries by operation and device
	Kept      map[string]mKept // answers by account, key and batch
	Keys      []*mKey          // that cards have made

	MNODown bool
	Fuzzy   bool // some profiles may not have got into the zone
}

type mDevice struct {
	Sponsor, Owner, MNO     string
	Status                  []string
	Profile                 int
	Retired                 []int
	Pending                 *mPending
	From                    string
	Undo                    int64
	Deleted, Redeem, Purged int64
	Card                    int // number of its own key; 0 for none
	Enrolled                int64
}

type mPending struct {
	To             string
	Due, Undo, Nth int64 // Nth: of the device's transfers
}

type mProfile struct {
	Sponsor, MNO string
	Status       registry.ProfileStatus
	Card         int   // number of the key that it certifies
	Until        int64 // end of the overlap
	Leaving      bool  // withdrawn, perhaps not carried out yet
	Unseen       bool  // superseded, perhaps before it got into the zone
}

type mTransfer struct {
	Status   string
	From, To string
	Old, New int
	Due      int64
	Acted    int64
	Undo     int64
}

type mCode struct {
	Nth             int
	Issued, Expires int64
}

type mGuess struct {
	Count int
	Since int64
}

type mMessage struct {
	At   int64
	What string
}

type mKept struct {
	Until   int64
	Sign    string
	Results []mResult
}

// mResult is the answer about one device.
type mResult struct {
	Kind    string // "" is good
	Pending bool
	Profile int
	checked bool // whether the profile in the answer says something
}

// The durations that the model's registry works with, in seconds.
const (
	mOverlap, mCodeTTL, mRedemption, mPurge = 6 * 3600, 4 * 3600, 8 * 3600, 4 * 3600
	mWait, mUndo, mRequestTTL, mBatch       = 3 * 3600, 5 * 3600, 20 * 3600, 2
)

// mCall is one call, as the model and the engine get it.
type mCall struct {
	Op       string
	Actor    registry.Actor
	Atomic   bool
	DryRun   bool
	Wait     bool
	Param    string   // owner and operator of an import, operator of a switch
	Add, Rem []string // statuses
	Items    []mItem
}

type mItem struct {
	Device  string
	Code    int // the nth of the device; 0 none, -1 a wrong one
	Profile int // to confirm
	Failed  bool
}

func (m *model) clone() *model {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	c := new(model)
	if err := json.Unmarshal(b, c); err != nil {
		panic(err)
	}
	return c
}

// get is a device as the registry knows it now.
func (m *model) get(id string) *mDevice {
	d := m.Devices[id]
	if d == nil || d.Purged != 0 && m.Now >= d.Purged {
		return nil
	}
	return d
}

// tick brings the model to a time: transfers that nobody decided have happened.
func (m *model) tick(now int64) {
	m.Now = now
	for id, d := range m.Devices {
		p := d.Pending
		if p == nil || now < p.Due {
			continue
		}
		t := m.Transfers[id][p.Nth]
		t.Status, t.Acted = "serverApproved", p.Due
		m.tellAt(p.Due, "transferApproved", id, t.From, t.To, d.Owner)
		d.From, d.Undo, d.Sponsor, d.Pending = d.Sponsor, p.Undo, p.To, nil
	}
}

func (m *model) tellAt(at int64, what, id string, accounts ...string) {
	for i, a := range accounts {
		if !slices.Contains(accounts[:i], a) {
			m.Messages[a] = append(m.Messages[a], mMessage{at, what + " " + id})
		}
	}
}

// tellBut tells accounts other than the one that did it.
func (m *model) tellBut(actor, what, id string, accounts ...string) {
	m.tellAt(m.Now, what, id, slices.DeleteFunc(accounts, func(a string) bool { return a == actor })...)
}

func (m *model) note(op, id string) { m.Audit[op+" "+id]++ }

func (d *mDevice) has(any ...string) bool {
	return slices.ContainsFunc(any, func(s string) bool { return slices.Contains(d.Status, s) })
}

func (d *mDevice) held() bool { return d.Deleted != 0 || d.has("clientHold", "serverHold") }

func (m *model) undoable(d *mDevice) bool { return d.From != "" && m.Now < d.Undo && d.Deleted == 0 }

func (m *model) current(id string) *mProfile {
	if d := m.Devices[id]; d != nil && d.Profile > 0 {
		return m.Profiles[id][d.Profile-1]
	}
	return nil
}

// sees reports whether a device is the actor's in the way of its role.
func sees(a registry.Actor, d *mDevice) bool {
	switch a.Role {
	case registry.RoleASP:
		return d.Sponsor == a.Account
	case registry.RoleOwner:
		return d.Owner == a.Account
	case registry.RoleMNO:
		return d.MNO == a.Account
	}
	return true
}

// mayDo says why an actor may not do on d what the given roles may; "" otherwise.
func mayDo(a registry.Actor, d *mDevice, roles ...registry.Role) string {
	switch {
	case d == nil || !sees(a, d):
		return "not-found"
	case !slices.Contains(roles, a.Role):
		return "forbidden"
	}
	return ""
}

func changeable(d *mDevice) string {
	switch {
	case d.Deleted != 0:
		return "state"
	case d.Pending != nil:
		return "pending"
	case d.has("clientUpdateProhibited", "serverUpdateProhibited"):
		return "state"
	}
	return ""
}

// verdict is what is to become of one device.
type verdict struct {
	kind string
	keep bool   // it has what is asked for
	do   func() // nil: nothing
}

const (
	asp, operator, owner = registry.RoleASP, registry.RoleOperator, registry.RoleOwner
)

// judge decides about one device of a call.
func (m *model) judge(c mCall, it mItem) verdict {
	d, id := m.get(it.Device), it.Device
	no := func(kind string) verdict { return verdict{kind: kind} }
	fresh := func(to, mno string) verdict { return verdict{do: func() { m.renew(c.Op, id, to, mno) }} }
	switch c.Op {
	case "activate", "reset", "switch":
		if kind := mayDo(c.Actor, d, asp, operator); kind != "" {
			return no(kind)
		}
		kind, cur := changeable(d), m.current(id)
		switch {
		case c.Op == "activate" && (kind == "" || kind == "pending") && cur != nil && cur.Status != "failed" && cur.Sponsor == d.Sponsor:
			return verdict{keep: true}
		case kind != "":
			return no(kind)
		case c.Op == "reset" && cur == nil:
			return no("state")
		case c.Op == "switch" && d.MNO == c.Param && cur != nil && cur.MNO == c.Param:
			return verdict{keep: true}
		case c.Op == "switch":
			return fresh(d.Sponsor, c.Param)
		}
		return fresh(d.Sponsor, d.MNO)
	case "move":
		return m.judgeMove(c, it, d)
	case "approve", "reject", "cancel":
		if c.Op == "cancel" && c.Actor.Role == asp && d != nil && (d.Pending == nil || d.Pending.To != c.Actor.Account) {
			return no(map[bool]string{true: "forbidden", false: "not-found"}[d.Sponsor == c.Actor.Account])
		}
		if c.Op != "cancel" || d == nil || c.Actor.Role != asp {
			if kind := mayDo(c.Actor, d, asp, operator); kind != "" {
				return no(kind)
			}
		}
		if d.Pending == nil {
			return no("not-pending")
		}
		if c.Op == "approve" {
			return fresh(d.Pending.To, d.MNO)
		}
		return verdict{do: func() { m.endPending(c, id, d) }}
	case "undo":
		if kind := mayDo(c.Actor, d, asp, operator, owner); kind != "" {
			return no(kind)
		}
		if kind := changeable(d); kind != "" {
			return no(kind)
		}
		if !m.undoable(d) {
			return no("state")
		}
		return fresh(d.From, d.MNO)
	}
	return m.judgeRecord(c, it, d)
}

func (m *model) locked(device, requester string) bool {
	g := m.Guesses[device+"/"+requester]
	return g != nil && g.Count >= 5 && m.Now < g.Since+3600
}

func (m *model) judgeMove(c mCall, it mItem, d *mDevice) verdict {
	code := m.Codes[it.Device]
	right := code != nil && code.Nth == it.Code && m.Now < code.Expires
	kind := ""
	switch {
	case m.locked(it.Device, c.Actor.Account):
		kind = "locked"
	case d != nil && d.Sponsor == c.Actor.Account:
		kind = "own"
	case !right || d == nil:
		kind = "auth-code"
	case d.Pending != nil:
		kind = "pending"
	case d.Deleted != 0, d.has("clientTransferProhibited", "serverTransferProhibited"):
		kind = "state"
	}
	if kind != "" {
		return verdict{kind: kind}
	}
	return verdict{do: func() {
		delete(m.Codes, it.Device)
		delete(m.Guesses, it.Device+"/"+c.Actor.Account)
		if !c.Wait {
			m.renew("move", it.Device, c.Actor.Account, d.MNO)
			return
		}
		due := m.Now + mWait
		m.Transfers[it.Device] = append(m.Transfers[it.Device], &mTransfer{
			Status: "pending", From: d.Sponsor, To: c.Actor.Account, Old: d.Profile, Due: due, Undo: due + mUndo,
		})
		d.Pending = &mPending{To: c.Actor.Account, Due: due, Undo: due + mUndo, Nth: int64(len(m.Transfers[it.Device]) - 1)}
		m.note("request", it.Device)
		m.tellBut(c.Actor.Account, "transferRequested", it.Device, d.Sponsor, d.Owner)
	}}
}

func (m *model) endPending(c mCall, id string, d *mDevice) {
	t := m.Transfers[id][d.Pending.Nth]
	d.Pending = nil
	what := map[string]string{"reject": "transferRejected", "cancel": "transferCancelled"}[c.Op]
	t.Status = map[string]string{"reject": "clientRejected", "cancel": "clientCancelled"}[c.Op]
	if c.Actor.Role == operator {
		t.Status, what = "serverCancelled", "transferCancelled"
	}
	t.Acted, t.Undo = m.Now, 0
	m.note(c.Op, id)
	m.tellBut(c.Actor.Account, what, id, t.From, t.To, d.Owner)
}

// renew gives a device a new profile, and a new sponsor where that is another.
func (m *model) renew(op, id, to, mno string) {
	d := m.Devices[id]
	if cur := m.current(id); cur != nil {
		cur.Status, cur.Until, cur.Unseen = "superseded", m.Now+mOverlap, m.Fuzzy
		d.Retired = append(d.Retired, d.Profile)
	}
	old := d.Profile
	m.Profiles[id] = append(m.Profiles[id], &mProfile{Sponsor: to, MNO: mno, Status: "published", Card: d.Card})
	d.Profile, d.MNO = len(m.Profiles[id]), mno
	m.note(op, id)
	if n := len(m.Transfers[id]); n > 0 && d.Sponsor == to {
		if t := m.Transfers[id][n-1]; t.Due == t.Acted && t.Status == "serverApproved" && t.New == 0 && t.To == to {
			t.New = d.Profile // what a deadline has led to
		}
	}
	if d.Sponsor == to {
		return
	}
	t := &mTransfer{From: d.Sponsor, To: to, Old: old, New: d.Profile, Acted: m.Now, Undo: m.Now + mUndo, Status: "serverApproved"}
	if d.Pending != nil {
		p := m.Transfers[id][d.Pending.Nth]
		t.Due = p.Due
		*p, t, d.Pending = *t, p, nil
	} else {
		m.Transfers[id] = append(m.Transfers[id], t)
	}
	if op == "undo" {
		t.Undo = m.Now
	}
	d.From, d.Sponsor, d.Undo = d.Sponsor, to, t.Undo
}

// moved completes what renew does with what depends on who did it.
func (m *model) moved(c mCall, id string) {
	if c.Op != "approve" && c.Op != "undo" && (c.Op != "move" || c.Wait) {
		return
	}
	ts := m.Transfers[id]
	t, d := ts[len(ts)-1], m.Devices[id]
	what := "transferApproved"
	if c.Op == "undo" {
		what = "transferUndone"
	}
	if c.Op == "approve" && c.Actor.Role != operator {
		t.Status = "clientApproved"
	}
	m.tellBut(c.Actor.Account, what, id, t.From, t.To, d.Owner)
}

// judgeRecord decides about calls that leave profiles as they are.
func (m *model) judgeRecord(c mCall, it mItem, d *mDevice) verdict {
	id, no := it.Device, func(kind string) verdict { return verdict{kind: kind} }
	roles := []registry.Role{asp, operator}
	switch c.Op {
	case "code", "clear":
		roles = []registry.Role{owner}
	case "confirm":
		roles = []registry.Role{asp}
	}
	if c.Op == "import" {
		return m.judgeImport(c, id, d)
	}
	if kind := mayDo(c.Actor, d, roles...); kind != "" {
		return no(kind)
	}
	switch c.Op {
	case "forget":
		return m.forget(id, d)
	case "status":
		if d.Deleted != 0 || c.Actor.Role == asp && d.has("serverUpdateProhibited") {
			return no("state")
		}
		return verdict{do: func() { m.setStatus(c, id, d) }}
	case "delete":
		switch {
		case d.Deleted != 0:
			return verdict{}
		case d.Pending != nil:
			return no("pending")
		case d.has("clientDeleteProhibited", "serverDeleteProhibited"):
			return no("state")
		}
		return verdict{do: func() {
			d.Deleted, d.Redeem, d.Purged = m.Now, m.Now, m.Now
			if d.Profile != 0 {
				d.Redeem = m.Now + mRedemption
				d.Purged = d.Redeem + mPurge
			}
			m.note("delete", id)
			m.tellAt(m.Now, "deviceDeleted", id, d.Sponsor, d.Owner)
		}}
	case "restore":
		switch {
		case d.Deleted == 0:
			return verdict{}
		case m.Now >= d.Redeem:
			return no("state")
		}
		return verdict{do: func() { d.Deleted, d.Redeem, d.Purged = 0, 0, 0; m.note("restore", id) }}
	case "code", "clear":
		switch {
		case d.Deleted != 0:
			return no("state")
		case d.Pending != nil:
			return no("pending")
		case c.Op == "clear":
			return verdict{do: func() { delete(m.Codes, id); m.note("clear code", id) }}
		}
		return verdict{do: func() {
			m.Codes[id] = &mCode{Nth: it.Code, Issued: m.Now, Expires: m.Now + mCodeTTL}
			m.note("authorization code", id)
		}}
	}
	cur := m.current(id) // confirm
	if d.Profile == 0 || it.Profile != d.Profile || cur.Sponsor != c.Actor.Account {
		return no("state")
	}
	return verdict{do: func() {
		if cur.Status != "connected" {
			cur.Status = "connected"
			m.note("confirm", id)
		}
		for _, n := range d.Retired {
			m.Profiles[id][n-1].Leaving = true
		}
	}}
}

func (m *model) judgeImport(c mCall, id string, d *mDevice) verdict {
	switch {
	case d != nil && d.Sponsor == c.Actor.Account:
		return verdict{kind: "exists"}
	case d != nil:
		return verdict{kind: "sponsored"}
	}
	return verdict{do: func() {
		m.leave(id)
		who := strings.Fields(c.Param)
		m.Devices[id] = &mDevice{Sponsor: c.Actor.Account, Owner: who[0], MNO: who[1], Card: m.cardOf(id)}
		m.note("import", id)
	}}
}

// leave ends what is left of a device that is gone.
func (m *model) leave(id string) {
	if old := m.Devices[id]; old != nil {
		for _, n := range append(old.Retired, old.Profile) {
			if n > 0 {
				m.Profiles[id][n-1].Leaving = true
			}
		}
	}
	delete(m.Codes, id)
	delete(m.Devices, id)
}

func (m *model) setStatus(c mCall, id string, d *mDevice) {
	was := slices.Clone(d.Status)
	d.Status = slices.DeleteFunc(d.Status, func(s string) bool { return slices.Contains(c.Rem, s) })
	d.Status = append(d.Status, c.Add...)
	slices.Sort(d.Status)
	d.Status = slices.Compact(d.Status)
	if slices.Equal(was, d.Status) {
		return
	}
	m.note("status", id)
	if c.Actor.Role == operator {
		m.tellAt(m.Now, "statusChangedByServer", id, d.Sponsor, d.Owner)
	}
}

// makesProfiles reports whether a call takes devices to new profiles.
func (c mCall) makesProfiles() bool {
	return slices.Contains([]string{"activate", "reset", "switch", "move", "approve", "undo"}, c.Op)
}

// keyed reports whether the call's answers are kept for a repetition.
func (c mCall) keyed() bool {
	return c.Actor.Key != "" && !slices.Contains([]string{"code", "confirm"}, c.Op)
}

// call carries out a call and returns its answers and, where it ends early, the
// kind of its own error. It calls commit after everything that is committed alone.
func (m *model) call(c mCall, commit func()) ([]mResult, string) {
	results := make([]mResult, len(c.Items))
	var plans []int
	seen := map[string]bool{}
	for i, it := range c.Items {
		if seen[it.Device] && !slices.Contains([]string{"import", "code", "confirm"}, c.Op) {
			results[i].Kind = "invalid"
			continue
		}
		seen[it.Device] = true
		plans = append(plans, i)
	}
	size := mBatch
	if c.Atomic || c.DryRun && c.Op == "import" {
		size = max(len(plans), 1)
	}
	for start := 0; start < len(plans); start += size {
		batch := plans[start:min(start+size, len(plans))]
		if !m.batch(c, start, len(plans), batch, results, commit) {
			for _, i := range plans[start:] {
				results[i] = mResult{Kind: "idempotency-key-reused"}
			}
			return results, "idempotency-key-reused"
		}
	}
	return results, ""
}

// batch carries out what one transaction does; it returns false where the key was
// used for something else.
func (m *model) batch(c mCall, start, total int, batch []int, results []mResult, commit func()) bool {
	key := keptKey(c.Actor, start)
	sign := c.sign(total, batch)
	if k, ok := m.Kept[key]; ok && c.keyed() && m.Now < k.Until {
		if k.Sign != sign {
			return false
		}
		for n, i := range batch {
			results[i] = k.Results[n]
			results[i].checked = k.Results[n].Kind == ""
			if c.makesProfiles() && results[i].Kind == "" && !results[i].Pending {
				m.deliver(c.Items[i].Device, results[i].Profile, &results[i])
			}
		}
		return true
	}
	verdicts := make([]verdict, len(batch))
	refused := false
	for n, i := range batch {
		v := m.judge(c, c.Items[i])
		verdicts[n], results[i] = v, mResult{Kind: v.kind}
		refused = refused || v.kind != ""
		if v.kind == "auth-code" {
			m.guess(c.Items[i].Device, c.Actor.Account)
		}
		// Rows of an import see those before them.
		if c.Op == "import" && v.do != nil && !c.Atomic && !c.DryRun {
			v.do()
			verdicts[n].do = func() {}
		}
	}
	commit()
	if c.Atomic && refused {
		for _, i := range batch {
			if results[i].Kind == "" {
				results[i].Kind = "aborted"
			}
		}
		return true
	}
	if !c.DryRun {
		m.carryOut(c, key, sign, batch, verdicts, results, commit)
	}
	return true
}

func (m *model) carryOut(c mCall, key, sign string, batch []int, verdicts []verdict, results []mResult, commit func()) {
	done := false
	for n, i := range batch {
		v, id := verdicts[n], c.Items[i].Device
		if v.kind != "" {
			continue
		}
		done = done || !v.keep
		if v.do != nil {
			v.do()
			m.moved(c, id)
		}
		results[i].checked = !slices.Contains([]string{"import", "code", "confirm"}, c.Op)
		if d := m.Devices[id]; d != nil {
			results[i].Profile = d.Profile
			results[i].Pending = c.Op == "move" && c.Wait
		}
	}
	if done && c.keyed() {
		k := mKept{Until: m.Now + mRequestTTL, Sign: sign}
		for _, i := range batch {
			k.Results = append(k.Results, results[i])
		}
		m.Kept[key] = k
	}
	commit()
	for n, i := range batch {
		if verdicts[n].kind == "" && c.makesProfiles() && !results[i].Pending {
			m.deliver(c.Items[i].Device, results[i].Profile, &results[i])
		}
	}
	if c.Op != "confirm" {
		return
	}
	for n, i := range batch {
		if id := c.Items[i].Device; verdicts[n].kind == "" {
			for _, r := range slices.Clone(m.Devices[id].Retired) {
				m.revoke(id, r)
			}
		}
	}
	commit()
}

// deliver has a profile ordered, if it is not yet.
func (m *model) deliver(id string, n int, res *mResult) {
	if n == 0 || m.Profiles[id][n-1].Status != "published" {
		return
	}
	if m.MNODown {
		res.Kind = "undelivered"
		return
	}
	m.Profiles[id][n-1].Status = "ordered"
}

func (m *model) guess(id, requester string) {
	g := m.Guesses[id+"/"+requester]
	if g == nil || m.Now >= g.Since+3600 {
		g = &mGuess{Since: m.Now}
		m.Guesses[id+"/"+requester] = g
	}
	if g.Count++; g.Count < 5 {
		return
	}
	if d := m.get(id); d != nil {
		m.note("code locked", id)
		m.tellAt(m.Now, "authCodeLocked", id, d.Sponsor, d.Owner)
	}
}

// withdraw ends the profiles that are leaving.
func (m *model) withdraw() {
	for id, ps := range m.Profiles {
		for i, p := range ps {
			if p.Status != "revoked" && p.Leaving {
				m.revoke(id, i+1)
			}
		}
	}
}

func (m *model) revoke(id string, n int) {
	p := m.Profiles[id][n-1]
	p.Status, p.Leaving = "revoked", false
	m.note("withdraw", id)
	if d := m.Devices[id]; d != nil {
		d.Retired = slices.DeleteFunc(d.Retired, func(r int) bool { return r == n })
	}
}

// settle is what Resume does where nothing is down.
func (m *model) settle() {
	for id, d := range m.Devices {
		if d.Purged != 0 && m.Now >= d.Purged {
			m.note("purge", id)
			m.leave(id)
			continue
		}
		cur := m.current(id)
		owes := cur == nil && d.From != "" || cur != nil && cur.Sponsor != d.Sponsor
		if owes && d.Pending == nil && d.Deleted == 0 {
			m.renew("server approve", id, d.Sponsor, d.MNO)
		}
	}
	for id, ps := range m.Profiles {
		for i, p := range ps {
			if p.Status == "superseded" && m.Now >= p.Until {
				m.revoke(id, i+1)
			}
			if p.Status == "published" && !p.Leaving {
				p.Status = "ordered"
			}
		}
	}
	m.withdraw()
}

// published is the zone as it must be.
func (m *model) published() []string {
	var out []string
	for id, d := range m.Devices {
		if d.held() {
			continue
		}
		for _, n := range append(slices.Clone(d.Retired), d.Profile) {
			if n > 0 && !m.Profiles[id][n-1].Unseen {
				out = append(out, fmt.Sprintf("%s/%d", id, n))
			}
		}
	}
	slices.Sort(out)
	return out
}

func keptKey(a registry.Actor, start int) string {
	return fmt.Sprintf("%s\x00%s/%d", a.Account, a.Key, start)
}

// sign is what a call with the same key must be equal in.
func (c mCall) sign(total int, batch []int) string {
	var items []mItem
	for _, i := range batch {
		it := c.Items[i]
		items = append(items, it)
	}
	return fmt.Sprint(c.Op, c.Actor.Role, c.Atomic, c.DryRun, c.Wait, c.Param, c.Add, c.Rem, total, items)
}

// named counts the devices that a call names.
func (c mCall) named() int {
	seen := map[string]bool{}
	for _, it := range c.Items {
		seen[it.Device] = true
	}
	return len(seen)
}
