// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

namespace swarmfs::util {

/// The world broke a promise. Thrown, caught at one door per program edge.
/// Whoever knows more adds a line on the way up: catch (Error& e) { e.add("while …"); throw; }
class Error : public std::exception {
 public:
  explicit Error(std::string message) : message_(std::move(message)) {}
  void add(const std::string& context) { message_ = context + ": " + message_; }
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

/// A system call failed. Takes errno first, before anything can overwrite it.
class SysError : public Error {
 public:
  explicit SysError(const std::string& what) : SysError(errno, what) {}
  SysError(int code, const std::string& what)
      : Error(what + ": " + std::generic_category().message(code)), code_(code) {}
  [[nodiscard]] int code() const noexcept { return code_; }

 private:
  int code_;
};

}  // namespace swarmfs::util
