package euicc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/profile/euicc"
)

func TestEnableDisableDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, rsp.ProfileNotFound, w.enable(t, iccid))
	require.Equal(t, rsp.ProfileNotFound, w.disable(t, iccid))
	require.Equal(t, rsp.ProfileNotFound, w.remove(t, iccid))
	w.install(t, newOrder(t, iccid, nil))
	w.install(t, newOrder(t, second, nil))
	require.Equal(t, rsp.ProfileWrongState, w.disable(t, iccid))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	require.Equal(t, rsp.ProfileWrongState, w.enable(t, iccid))
	require.Equal(t, rsp.ProfileWrongState, w.remove(t, iccid), "delete what is disabled")
	require.Equal(t, rsp.ProfileOK, w.enable(t, second), "one at a time: this disables the other")
	list := w.chip.Profiles()
	require.False(t, list[0].Enabled)
	require.True(t, list[1].Enabled)
	require.Equal(t, rsp.ProfileOK, w.remove(t, iccid))
	require.Len(t, w.chip.Profiles(), 1)
}

func TestPolicyRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := rsp.PPR1 | rsp.PPR2
	o := newOrder(t, iccid, nil)
	o.metadata.PolicyRules = &rules
	w.install(t, o)
	require.Equal(t, rsp.ProfilePolicy, w.remove(t, iccid), "PPR2")
	w.install(t, newOrder(t, second, nil))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	require.Equal(t, rsp.ProfilePolicy, w.disable(t, iccid), "PPR1")
	require.Equal(t, rsp.ProfilePolicy, w.enable(t, second), "PPR1")
}

// Each of what happens is told to everybody whom the metadata names.
func TestNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, newOrder(t, iccid, nil))
	w.install(t, newOrder(t, second, nil))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	require.Equal(t, rsp.ProfileOK, w.disable(t, second))
	require.Equal(t, rsp.ProfileOK, w.remove(t, iccid))
	const other = "other.example.com"
	type told struct {
		event   rsp.Events
		address string
		iccid   rsp.ICCID
	}
	want := []told{
		{rsp.EventInstall, address, iccid}, {rsp.EventInstall, other, iccid},
		{rsp.EventInstall, address, second}, {rsp.EventInstall, other, second},
		{rsp.EventEnable, address, iccid},
		{rsp.EventDisable, address, iccid}, {rsp.EventEnable, address, second},
		{rsp.EventDisable, address, second},
		{rsp.EventDelete, address, iccid}, {rsp.EventDelete, other, iccid},
	}
	list := es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{}).List
	full := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{}).List
	require.Len(t, list, len(want))
	require.Len(t, full, len(want))
	for i, m := range list {
		require.Equal(t, want[i], told{m.Event, m.Address, *m.ICCID})
		require.Equal(t, int64(i+1), m.SeqNumber)
		if n := full[i].Other; n != nil {
			text, err := n.Notification.SignedText()
			require.NoError(t, err)
			w.verify(t, text, n.Signature)
			require.Equal(t, w.auth.OK.EUICCCertificate, n.EUICCCertificate)
		}
	}

	deleted := rsp.EventDelete
	require.Len(t, es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{Events: &deleted}).List, 2)
	require.Len(t, es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{Events: &deleted}).List, 2)
	number := int64(3)
	one := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{SeqNumber: &number}).List
	require.Len(t, one, 1)
	require.NotNil(t, one[0].Installation)
	sent := func() int {
		return es10[rsp.NotificationSentResponse](t, w, &rsp.NotificationSentRequest{SeqNumber: number}).Status
	}
	require.Equal(t, 0, sent())
	require.Equal(t, 1, sent(), "nothing to delete")
	require.Empty(t, es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{SeqNumber: &number}).List)
	none := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{PackageResults: true})
	require.Equal(t, []rsp.EUICCPackageResult{}, none.Packages, "an empty list, not an empty answer")
	w.chip.Reset()
	w.connect(t)
	require.Len(t, es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{}).List, len(want)-1)
}

func TestNotificationsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, newOrder(t, iccid, nil))
	for range 100 {
		require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
		require.Equal(t, rsp.ProfileOK, w.disable(t, iccid))
	}
	list := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{}).List
	require.Len(t, list, 64)
	require.Equal(t, int64(2+2*100), list[len(list)-1].Metadata().SeqNumber)
}

func TestProfilesInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Empty(t, es10[rsp.ProfileInfoListResponse](t, w, &rsp.ProfileInfoListRequest{}).List)
	o := newOrder(t, second, nil)
	class := rsp.ClassTest
	o.metadata.Class = &class
	w.install(t, newOrder(t, iccid, nil))
	w.install(t, o)
	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	name := es10[rsp.SetNicknameResponse](t, w, &rsp.SetNicknameRequest{ICCID: iccid, Nickname: "meter"})
	require.Zero(t, name.Result)

	list := es10[rsp.ProfileInfoListResponse](t, w, &rsp.ProfileInfoListRequest{}).List
	require.Len(t, list, 2)
	require.Equal(t, iccid, *list[0].ICCID)
	require.Equal(t, "meter", *list[0].Nickname)
	require.Equal(t, rsp.StateDisabled, *list[0].State)
	require.Equal(t, rsp.ClassOperational, *list[0].Class)
	require.Equal(t, rsp.StateEnabled, *list[1].State)
	require.Equal(t, append(isdr()[:14], 0x10, 0x01), list[1].AID)
	require.Nil(t, list[0].Notifications, "not asked for")

	for rule, q := range map[string]*rsp.ProfileInfoListRequest{
		"by ICCID": {ICCID: ptr(second)}, "by class": {Class: &class}, "by AID": {AID: list[1].AID},
	} {
		found := es10[rsp.ProfileInfoListResponse](t, w, q).List
		require.Len(t, found, 1, rule)
		require.Equal(t, second, *found[0].ICCID, rule)
	}
	few := es10[rsp.ProfileInfoListResponse](t, w, &rsp.ProfileInfoListRequest{TagList: []byte{0x5A, 0xB6, 0x9F, 0x70}}).List
	require.Len(t, few[0].Notifications, 2)
	require.Nil(t, few[0].AID)
	bad := es10[rsp.ProfileInfoListResponse](t, w, &rsp.ProfileInfoListRequest{TagList: []byte{0x9F}})
	require.Equal(t, 1, *bad.Error)

	aid := es10[rsp.EnableProfileResponse](t, w, &rsp.EnableProfileRequest{Profile: rsp.ProfileID{AID: list[0].AID}})
	require.Equal(t, rsp.ProfileOK, aid.Result)
	require.Equal(t, 1, es10[rsp.SetNicknameResponse](t, w, &rsp.SetNicknameRequest{ICCID: "89000000000000001010"}).Result)
	es10[rsp.SetNicknameResponse](t, w, &rsp.SetNicknameRequest{ICCID: iccid})
	require.Nil(t, es10[rsp.ProfileInfoListResponse](t, w, &rsp.ProfileInfoListRequest{}).List[0].Nickname, "an empty one removes it")
}

func ptr[T any](v T) *T { return &v }

func TestProfilesWithoutCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *euicc.ChipConfig) { c.Card = nil })
	w.install(t, newOrder(t, iccid, []byte("opaque")))
	require.Nil(t, w.chip.Profiles()[0].IoT)
}
