package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// childCommand is this program run as a process that looks one name up:
// bench one-look-up SERVER ANCHORFILE NAME.
const childCommand = "one-look-up"

func child(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) != 3 {
		fmt.Fprintf(stderr, "bench: want %s SERVER ANCHORFILE NAME\n", childCommand)
		return 2
	}
	err := lookUpOnce(ctx, args[0], args[1], args[2])
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	fmt.Fprintln(stdout, args[2], proven)
	return 0
}

const proven = "(secure)" // as unbound-host says it

func lookUpOnce(ctx context.Context, server, anchorFile, name string) error {
	f, err := os.Open(anchorFile)
	if err != nil {
		return err
	}
	defer f.Close()
	anchors, err := dnssec.ParseAnchors(f)
	if err != nil {
		return err
	}
	_, err = secure(ctx, &dnssec.Resolver{Exchanger: &dnssec.Client{Addr: server}, Anchors: anchors}, name, dns.TypeCERT)
	return err
}

// peer is a program that validates one name and ends.
type peer struct {
	name, install string
	program       string // path or name
	args          func(name string) []string
	says          string // when the answer is proven
}

// peers runs each program once per name, all against one server on loopback.
func (b *daneRun) peers(ctx context.Context, r *report) error {
	if b.processes == 0 {
		return nil
	}
	s := r.section("processes", "One process per name, cold, against one server on loopback (medians)")
	w := danetest.NewWorld(b.stage, danetest.Config{Zones: threeZones(), Start: time.Now()}) // delv knows no other time
	if err := addDevices(w, b.processes); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	b.stage.Cleanup(func() { os.RemoveAll(dir) })
	peers, err := peersFor(w, dir)
	if err != nil {
		return err
	}
	for _, p := range peers {
		path, err := exec.LookPath(p.program)
		if err != nil {
			s.skip(p.name, "not installed (Debian: apt-get install "+p.install+")")
			continue
		}
		p.program = path
		if err := b.race(ctx, s, w, p); err != nil {
			s.skip(p.name, err.Error())
		}
	}
	return b.inProcess(ctx, s, w)
}

func peersFor(w *danetest.World, dir string) ([]peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(w.Addr())
	if err != nil {
		return nil, err
	}
	anchor := strings.TrimSpace(w.Anchor())
	key := w.DNSKEY()[0]
	files := map[string]string{
		"anchor": anchor,
		"bind":   fmt.Sprintf("trust-anchors { . static-key %d 3 %d \"%s\"; };\n", key.Flags, key.Algorithm, key.PublicKey),
		"unbound": "server:\n do-not-query-localhost: no\n do-ip6: no\n module-config: \"validator iterator\"\n chroot: \"\"\n" +
			" trust-anchor: \"" + strings.ReplaceAll(anchor, "\t", " ") + "\"\n" +
			"forward-zone:\n name: \".\"\n forward-addr: " + host + "@" + port + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return []peer{
		{"sdk", "", self, func(name string) []string {
			return []string{childCommand, w.Addr(), filepath.Join(dir, "anchor"), name}
		}, proven},
		{"unbound-host", "unbound-host", "unbound-host", func(name string) []string {
			return []string{"-C", filepath.Join(dir, "unbound"), "-v", "-t", "CERT", name}
		}, proven},
		{"delv", "bind9-dnsutils", "delv", func(name string) []string {
			return []string{"-4", "@" + host, "-p", port, "-a", filepath.Join(dir, "bind"), "+root=.", name, "CERT"}
		}, "; fully validated"},
	}, nil
}

// race runs a program on each name in turn.
func (b *daneRun) race(ctx context.Context, s *section, w *danetest.World, p peer) error {
	var wall, cpu []time.Duration
	w.Queries() // forgets them
	for i := range b.processes {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		cmd := exec.CommandContext(ctx, p.program, p.args(device(i))...)
		begin := time.Now()
		out, err := cmd.CombinedOutput()
		wall = append(wall, time.Since(begin))
		cancel()
		if err == nil && !bytes.Contains(out, []byte(p.says)) {
			err = errors.New("it found no proof: " + strings.TrimSpace(string(out)))
		}
		if err != nil {
			return err
		}
		cpu = append(cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	}
	id := strings.ReplaceAll(p.name, "-", "_")
	s.add(id+"_wall", micros(median(wall))/1e3, "ms", "")
	s.add(id+"_cpu", micros(median(cpu))/1e3, "ms CPU", "start-up included")
	s.add(id+"_queries", float64(len(w.Queries()))/float64(b.processes), "queries", "per name")
	return nil
}

// inProcess is what a program pays that has the library: the same look-ups over
// the same sockets, each with an empty cache.
func (b *daneRun) inProcess(ctx context.Context, s *section, w *danetest.World) error {
	anchors, err := anchorsOf(w)
	if err != nil {
		return err
	}
	client := &dnssec.Client{Addr: w.Addr()}
	defer client.Close()
	var wall []time.Duration
	for i := range b.processes {
		begin := time.Now()
		if _, err := secure(ctx, &dnssec.Resolver{Exchanger: client, Anchors: anchors}, device(i), dns.TypeCERT); err != nil {
			return err
		}
		wall = append(wall, time.Since(begin))
	}
	s.add("sdk_in_process_wall", micros(median(wall))/1e3, "ms", "no process to start")
	return nil
}
