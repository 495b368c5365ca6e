package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

func jobCommands() []command {
	job := func(name, short string, do func(ctx context.Context, s *session, c *web.Client, id string) (report, error)) command {
		return command{
			name: "job " + name, args: "JOB", min: 1, max: 1, peer: apiPeer, short: short, long: "  iotreg job " + name + " JOB",
			setup: func(*flag.FlagSet) action {
				return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
					return do(ctx, s, c, args[0])
				}).action()
			},
		}
	}
	one := func(s *session, j *registry.Job, err error) (report, error) {
		if err != nil {
			return nil, err
		}
		return s.job(j), nil
	}
	return []command{
		{
			name: "job list", peer: apiPeer, short: "List your jobs", long: "  iotreg job list",
			setup: func(fs *flag.FlagSet) action {
				limit := limitFlag(fs)
				return apiCall(func(ctx context.Context, s *session, c *web.Client, _ []string) (report, error) {
					return listed(s, c.Jobs(ctx), *limit, "JOB OPERATION STATE DEVICES DONE FAILED SUBMITTED", func(j *registry.Job) []any {
						return []any{j.ID, j.Op, j.State, j.Total, j.Done, j.Failed, stamp(j.Created)}
					})
				}).action()
			},
		},
		job("show", "Show how far a job is", func(ctx context.Context, s *session, c *web.Client, id string) (report, error) {
			j, err := c.Job(ctx, id)
			return one(s, j, err)
		}),
		job("results", "Show what has become of a job's devices so far", func(ctx context.Context, s *session, c *web.Client, id string) (report, error) {
			return s.jobResults(ctx, id)
		}),
		job("watch", "Wait for a job and show what became of its devices", func(ctx context.Context, s *session, _ *web.Client, id string) (report, error) {
			return s.await(ctx, id)
		}),
		job("cancel", "Stop a job: what is done stays done", func(ctx context.Context, s *session, c *web.Client, id string) (report, error) {
			j, err := c.CancelJob(ctx, id)
			return one(s, j, err)
		}),
		messagesCommand(),
		{
			name: "ack", args: "MESSAGE...", min: 1, max: -1, peer: apiPeer,
			short: "Take messages that you have dealt with out of your queue",
			long:  "  iotreg ack MESSAGE",
			setup: func(*flag.FlagSet) action {
				return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
					if err := c.Ack(ctx, args...); err != nil {
						return nil, err
					}
					return s.done("%s acknowledged", count(len(args), "message")), nil
				}).action()
			},
		},
	}
}

func (s *session) job(j *registry.Job) report {
	return s.single(j,
		pair{"job", j.ID}, pair{"operation", j.Op}, pair{"state", j.State}, pair{"devices", fmt.Sprintf("%d, %d done, %d failed", j.Total, j.Done-j.Failed, j.Failed)},
		pair{"submitted", stamp(j.Created)}, pair{"ended", stamp(j.Finished)},
	)
}

// maxMessages is what the registry tells at once.
const maxMessages = 1000

func messagesCommand() command {
	return command{
		name: "messages", peer: apiPeer, short: "Show your queue of messages, oldest first",
		long: "They stay until iotreg ack takes them out.\n\n  iotreg messages\n  iotreg messages -after MESSAGE",
		setup: func(fs *flag.FlagSet) action {
			limit := fs.Int("limit", 100, "show at most this `number`, up to 1000")
			after := fs.String("after", "", "begin after this `message`")
			return apiCall(func(ctx context.Context, s *session, c *web.Client, _ []string) (report, error) {
				if *limit < 1 || *limit > maxMessages {
					return nil, usagef("-limit must be from 1 to %d", maxMessages)
				}
				return listed(s, each(c.Messages(ctx, *after, *limit)), 0, "MESSAGE TIME TYPE DEVICE BY ABOUT", func(m registry.Message) []any {
					about := m.Subject
					if m.Why != "" {
						about += " " + m.Why
					}
					return []any{m.ID, stamp(m.Time), m.Type, m.Device, m.By, about}
				})
			}).action()
		},
	}
}
