// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/credentials.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "util/log.h"
#include "util/unique_fd.h"
#include "util/units.h"

extern char** environ;

namespace swarmfs::registry {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds kHelperTimeout{10};
constexpr std::chrono::milliseconds kHelperEnds{1'000};  ///< once its output is closed

std::string docker_key(const std::string& registry) {
  return registry == "docker.io" ? "https://index.docker.io/v1/" : registry;
}

std::string text(const json& value, const char* key) {
  const auto found = value.find(key);
  return found != value.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<Credential> read_entry(const json& entry) {
  if (!entry.is_object()) return std::nullopt;
  if (const auto token = text(entry, "identitytoken"); !token.empty())
    return Credential{"<token>", token, true};
  const auto decoded = util::from_base64(text(entry, "auth"));
  if (decoded && decoded->find(':') != std::string::npos) {
    const size_t colon = decoded->find(':');
    return Credential{decoded->substr(0, colon), decoded->substr(colon + 1), false};
  }
  if (const auto user = text(entry, "username"); !user.empty())
    return Credential{user, text(entry, "password"), false};
  return std::nullopt;
}

/// "https://host/v1/" and "host" are the same key.
std::string normalised(std::string key) {
  for (const char* scheme : {"https://", "http://"})
    if (key.starts_with(scheme)) key.erase(0, std::string_view(scheme).size());
  for (const char* tail : {"/v1/", "/v2/", "/v1", "/v2", "/"})
    if (key.ends_with(tail)) {
      key.erase(key.size() - std::string_view(tail).size());
      break;
    }
  return key == "index.docker.io" ? "docker.io" : key;
}

std::string read_until_end(int fd, pid_t child) {
  std::string out;
  const auto deadline = std::chrono::steady_clock::now() + kHelperTimeout;
  char buffer[4096];
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd waiting{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) {
      ::kill(child, SIGKILL);
      return "";
    }
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got <= 0 || out.size() > 1 << 20) return out;
    out.append(buffer, static_cast<size_t>(got));
  }
}

/// Its exit status; 0 when it had to be killed after it had said all that it had to say.
int wait_for_end(pid_t child) {
  const util::UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd waiting{process.get(), POLLIN, 0};
  const bool lives_on = !process || ::poll(&waiting, 1, static_cast<int>(kHelperEnds.count())) <= 0;
  if (lives_on) ::kill(child, SIGKILL);
  int code = 0;
  ::waitpid(child, &code, 0);
  return lives_on && WIFSIGNALED(code) ? 0 : code;
}

std::filesystem::path home() {
  if (const char* value = std::getenv("HOME"); value && *value) return value;
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16'384);
  ::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found);
  return found ? found->pw_dir : "";
}

}  // namespace

std::optional<Credential> find_credential(std::string_view auth_file, const std::string& registry,
                                          const std::string& repository) {
  const json file = json::parse(auth_file, nullptr, false);
  if (!file.is_object() || !file.contains("auths") || !file["auths"].is_object())
    return std::nullopt;
  const std::string wanted = registry + "/" + repository;
  std::optional<Credential> best;
  size_t best_length = 0;
  for (const auto& [key, entry] : file["auths"].items()) {
    const std::string known = normalised(key);
    const bool matches = wanted == known || wanted.starts_with(known + "/");
    if (!matches || known.size() < best_length) continue;
    if (auto credential = read_entry(entry)) {
      best = std::move(credential);
      best_length = known.size();
    }
  }
  return best;
}

std::string helper_for(std::string_view auth_file, const std::string& registry) {
  const json file = json::parse(auth_file, nullptr, false);
  if (!file.is_object()) return "";
  if (const auto helpers = file.find("credHelpers"); helpers != file.end() && helpers->is_object())
    for (const auto& [key, name] : helpers->items())
      if (normalised(key) == registry && name.is_string()) return name.get<std::string>();
  return text(file, "credsStore");
}

std::optional<Credential> ask_helper(const std::string& name, const std::string& registry) {
  if (name.find('/') != std::string::npos) return std::nullopt;
  const std::string program = "docker-credential-" + name;
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC)) return std::nullopt;
  util::UniqueFd in_read(in[0]), in_write(in[1]);
  if (::pipe2(out, O_CLOEXEC)) return std::nullopt;
  util::UniqueFd out_read(out[0]), out_write(out[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in_read.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, out_write.get(), 1);
  std::string verb = "get", first = program;
  char* const arguments[] = {first.data(), verb.data(), nullptr};
  pid_t child = 0;
  const int status = ::posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (status) {
    util::log::warning("registry: credential helper {} cannot be run", program);
    return std::nullopt;
  }
  out_write.reset();
  const std::string key = docker_key(registry);
  if (::write(in_write.get(), key.data(), key.size()) < 0)
    util::log::warning("registry: {} does not listen", program);
  in_write.reset();
  const std::string printed = read_until_end(out_read.get(), child);
  const int code = wait_for_end(child);
  const json answer = json::parse(printed, nullptr, false);
  if (code != 0 || !answer.is_object()) return std::nullopt;
  Credential made{text(answer, "Username"), text(answer, "Secret"), false};
  made.identity_token = made.username == "<token>";
  return made.secret.empty() ? std::nullopt : std::optional(made);
}

std::vector<std::filesystem::path> usual_credential_files() {
  std::vector<std::filesystem::path> found;
  const auto from = [&](const char* variable, const char* tail) {
    if (const char* value = std::getenv(variable); value && *value)
      found.push_back(value + std::string(tail));
  };
  const auto at_home = home();
  from("REGISTRY_AUTH_FILE", "");
  from("XDG_RUNTIME_DIR", "/containers/auth.json");
  found.push_back("/run/containers/0/auth.json");
  if (!at_home.empty()) found.push_back(at_home / ".config/containers/auth.json");
  from("DOCKER_CONFIG", "/config.json");
  if (!at_home.empty()) found.push_back(at_home / ".docker/config.json");
  return found;
}

}  // namespace swarmfs::registry
