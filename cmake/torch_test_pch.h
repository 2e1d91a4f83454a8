// The precompiled header of test files with LibTorch.
#pragma once
#include <gtest/gtest.h>

#include "cmake/pch.h"
