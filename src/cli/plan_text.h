// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/runtime_plan.h"

/// What configure says. Pure.
namespace swarmfs::cli {

enum class PlanUse { check, write, show };

/// One paragraph for each file, each reason why a pull would pass by the mirror, each note.
std::string plan_text(const RuntimePlan& plan, PlanUse use);
nlohmann::json plan_json(const RuntimePlan& plan, PlanUse use);

/// Every file as it is to be and nothing passes by the mirror.
bool is_in_effect(const RuntimePlan& plan);

/// The lines that go and come, as `diff -U0` shows them for one place.
std::string diff_text(const FileChange& change);

}  // namespace swarmfs::cli
