// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "oci/reference.h"

#include <fmt/format.h>

#include <algorithm>

namespace swarmfs::oci {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_word(char c) {
  return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/// One part of a repository path: alphanumerics, joined by one '.', one or two '_', or dashes.
bool is_component(std::string_view part) {
  if (part.empty() || !is_lower_or_digit(part.front()) || !is_lower_or_digit(part.back()))
    return false;
  for (size_t i = 0; i < part.size(); ++i) {
    if (is_lower_or_digit(part[i]) || part[i] == '-') continue;
    size_t run = i;
    while (run < part.size() && part[run] == part[i]) ++run;
    const size_t most = part[i] == '.' ? 1 : part[i] == '_' ? 2 : 0;
    if (run - i > most || part[run] == '-' || part[run] == '.' || part[run] == '_') return false;
    i = run - 1;
  }
  return true;
}

bool is_repository(std::string_view path) {
  while (true) {
    const size_t slash = path.find('/');
    if (!is_component(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view tag) {
  return !tag.empty() && tag.size() <= 128 && is_word(tag[0]) &&
         std::all_of(tag.begin(), tag.end(),
                     [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

bool is_registry(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (is_word(c) && c != '_') || c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
  });
}

}  // namespace

Outcome<Reference> Reference::parse(std::string_view text) {
  const std::string_view whole = text;
  const auto bad = [&](const char* why) {
    return Failure{
        Fault::invalid,
        fmt::format("'{}' is no image reference: {} (like 127.0.0.1:5000/app:v1)", whole, why)};
  };
  Reference made;
  if (const size_t at = text.find('@'); at != std::string_view::npos) {
    made.digest = util::Digest::parse(text.substr(at + 1));
    if (!made.digest) return bad("what follows @ is not sha256:<64 hex digits>");
    text = text.substr(0, at);
  }
  const size_t slash = text.find('/');
  const std::string_view first = text.substr(0, slash);
  const bool has_registry =
      slash != std::string_view::npos &&
      (first.find_first_of(".:") != std::string_view::npos || first == "localhost");
  std::string_view rest = text;
  if (has_registry) {
    made.registry = first;
    rest = text.substr(slash + 1);
    if (!is_registry(first)) return bad("the registry's name is malformed");
  }
  if (made.registry.empty() || made.registry == "index.docker.io") made.registry = "docker.io";
  if (const size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    made.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_tag(made.tag)) return bad("the tag is malformed");
  }
  if (!is_repository(rest) || rest.size() > 255)
    return bad("a repository is lower-case letters, digits and single separators");
  made.repository = rest;
  if (made.registry == "docker.io" && rest.find('/') == std::string_view::npos)
    made.repository = "library/" + made.repository;
  if (made.tag.empty() && !made.digest) made.tag = "latest";
  return made;
}

std::string Reference::to_string() const {
  return registry + "/" + repository + (tag.empty() ? "" : ":" + tag) +
         (digest ? "@" + digest->to_string() : "");
}

std::string Reference::encoded() const {
  std::string out;
  for (const char c : to_string()) {
    if (c == '/' || c == ':' || c == '@' || c == '%')
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out;
}

}  // namespace swarmfs::oci
