// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/mediator.h"
#include "image/job.h"
#include "swarm/preheat_run.h"

/// Preheating from one room's words into another's. Pure.
namespace swarmfs::daemon {

/// What members are told of a pull.
swarm::PreheatState preheat_state(const image::Job::View& pull);

/// Its bytes are the sums over nodes that have not failed. Failed where one of them has.
control::JobReport report_of(const swarm::PreheatRun::View& run,
                             const std::vector<swarm::PreheatChoice::LeftOut>& left_out);

/// "all", "3". Fault::invalid: neither.
util::Outcome<swarm::PreheatWish> wish_of(const control::PreheatOrder& order);
/// "600". Fault::invalid: no number of seconds from 1 to a week.
util::Outcome<std::chrono::seconds> patience_of(const control::PreheatOrder& order);

}  // namespace swarmfs::daemon
