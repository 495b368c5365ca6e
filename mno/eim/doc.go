// Package eim is an eIM, the eSIM IoT remote manager of GSMA SGP.32 version 1.2:
// it has devices download, enable, disable, delete and list profiles because an
// operator wants it, with nobody at the device.
//
//	manager, err := eim.New(eim.Config{ID: "eim.example", FQDN: "eim.example", Key: key, CIs: roots})
//	err = manager.Register(ctx, eim.EUICC{EID: id})
//	_, err = manager.Trigger(ctx, id, eim.Download{ActivationCode: code, Enable: true})
//
// An [EIM] is the [esipa.Backend] that devices ask for something to do and tell
// what came of it. What an operator asks for is a [Job]; a device has one at a
// time, in the order of asking, and is given the same again until its result is
// there. News goes to the operator by [Config.Notify], and only then to the
// device, which keeps its results until then.
//
// ESipa does not authenticate devices. What counts is what the eUICC has signed,
// with a certificate of one of [Config.CIs] that names its EID; where the eIM has
// no certificate yet, the device is asked for it first. Anything unsigned can at
// most make a job fail, after [Config.Attempts] tries, and such a job is put right
// by a signed result that comes later.
//
// For the same reason whoever knows an EID is told what its device is to do, an
// activation code included. Have orders name the EID: an SM-DP+ then gives the
// profile to no other eUICC.
//
// A package of operations carries a counter, which eUICCs let only grow. It is
// stored with the signed package before a device sees it, and never used for
// anything else. An eUICC that refuses a package as a replay has carried it out
// already, or its counter is ahead; it is asked for the results that it keeps, and
// the job ends with what they say, or as failed without proof.
//
// Records live in a [Store] with compare-and-swap, one for each eUICC, so that
// several EIMs with the same key may share one; [Memory] keeps them in the
// process.
package eim
