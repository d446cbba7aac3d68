// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

struct x509_st;

namespace swarmfs::http {

/// The CN of a certificate's subject as UTF-8; empty where it has none, or more than one.
std::string common_name(const x509_st* certificate);

}  // namespace swarmfs::http
