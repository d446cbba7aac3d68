// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/url.h"

#include <algorithm>
#include <charconv>

namespace swarmfs::http {

namespace {

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    unsigned char byte = 0;
    const char* const end = digits.data() + digits.size();
    if (digits.size() < 2 || std::from_chars(digits.data(), end, byte, 16).ptr != end)
      return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

}  // namespace

std::optional<Url> Url::parse(std::string_view text) {
  Url url;
  for (const char* scheme : {"http", "https"}) {
    const std::string prefix = std::string(scheme) + "://";
    if (text.starts_with(prefix)) {
      url.scheme = scheme;
      text.remove_prefix(prefix.size());
      break;
    }
  }
  if (url.scheme.empty()) return std::nullopt;
  const size_t slash = std::min(text.find_first_of("/?#"), text.size());
  std::string_view authority = text.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) return std::nullopt;
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  url.host = authority.substr(0, colon);
  if (colon != std::string_view::npos) url.port = authority.substr(colon + 1);
  if (url.host.empty() ||
      !std::all_of(url.port.begin(), url.port.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  url.target = text.substr(slash, text.find('#') - slash);
  if (!url.target.starts_with('/')) url.target = "/" + url.target;
  return url;
}

std::string Url::origin() const {
  return scheme + "://" + host + (port.empty() ? "" : ":" + port);
}

std::optional<Url> resolve(const Url& base, std::string_view location) {
  if (location.starts_with("//")) return Url::parse(base.scheme + ":" + std::string(location));
  if (location.starts_with("/")) return Url::parse(base.origin() + std::string(location));
  if (auto absolute = Url::parse(location)) return absolute;
  if (location.find("://") != std::string_view::npos) return std::nullopt;
  const std::string path = base.target.substr(0, base.target.find('?'));
  return Url::parse(base.origin() + path.substr(0, path.rfind('/') + 1) + std::string(location));
}

std::optional<Target> Target::parse(std::string_view text) {
  if (!text.starts_with('/')) return std::nullopt;
  const size_t mark = std::min(text.find('?'), text.size());
  auto path = percent_decode(text.substr(0, mark), false);
  if (!path) return std::nullopt;
  Target target{std::move(*path), {}};
  std::string_view rest = text.substr(std::min(mark + 1, text.size()));
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    const size_t equals = std::min(pair.find('='), pair.size());
    auto name = percent_decode(pair.substr(0, equals), true);
    auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value) return std::nullopt;
    target.query.insert_or_assign(std::move(*name), std::move(*value));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
  }
  return target;
}

bool is_loopback(std::string_view host) {
  if (host.starts_with("[::1]")) return true;
  host = host.substr(0, host.find(':'));
  return host == "localhost" || (host.starts_with("127.") &&
                                 host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace swarmfs::http
