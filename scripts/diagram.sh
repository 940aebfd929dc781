#!/usr/bin/env bash
# Renders docs/architecture.mmd to docs/architecture.png. Needs a Chromium (Debian: apt-get install chromium); the renderer
# comes from npm for this one call and is no dependency of the project. Run it when the .mmd changes, and commit both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PUPPETEER_SKIP_DOWNLOAD=true
PUPPETEER_EXECUTABLE_PATH="${CHROMIUM:-$(command -v chromium || command -v google-chrome)}"
export PUPPETEER_EXECUTABLE_PATH
config="$(mktemp --suffix=.json)"
trap 'rm -f "$config"' EXIT
echo '{"args": ["--no-sandbox", "--disable-gpu"]}' >"$config"
npx -y @mermaid-js/mermaid-cli@11.12.0 --puppeteerConfigFile "$config" --scale 2 --backgroundColor white \
  --input docs/architecture.mmd --output docs/architecture.png
