#!/usr/bin/env bash
# Deploy the function, publish what was deployed as a version, move the alias there, register it.
#
#     AWS_REGION=eu-central-1 ROLE=arn:aws:iam::123456789012:role/greeter ./deploy.sh
#
# Needs the AWS command line, zip, pip, steadfaas with the extra 'aws', and an engine that runs
# (STEADFAAS_ADMIN_URL says where). It may be repeated: without a change there is no new version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

NAME=${NAME:-greeter}
ALIAS=${ALIAS:-live}
RUNTIME=${RUNTIME:-python3.13}
COMMIT=${COMMIT:-$(git rev-parse --short HEAD)}

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
mkdir "$build/code"
# Wheels for Lambda, whatever this machine is. The same files give the same version.
python -m pip install --quiet --disable-pip-version-check --no-compile --target "$build/code" \
    --platform manylinux2014_x86_64 --python-version "${RUNTIME#python}" --only-binary=:all: \
    -r requirements.txt
cp app.py "$build/code"
find "$build/code" -exec touch -t 198001010000 {} +
(cd "$build/code" && find . -type f | LC_ALL=C sort | zip --quiet -X -@ "$build/code.zip")

if aws lambda get-function-configuration --function-name "$NAME" >/dev/null 2>&1; then
    aws lambda update-function-code --function-name "$NAME" \
        --zip-file "fileb://$build/code.zip" >/dev/null
else
    aws lambda create-function --function-name "$NAME" --runtime "$RUNTIME" --role "$ROLE" \
        --handler app.handler --timeout 30 --zip-file "fileb://$build/code.zip" >/dev/null
fi

# Waits until Lambda has the code, publishes it, and registers the version.
steadfaas deployments register "lambda:$NAME" --publish --description "git:$COMMIT" --json \
    >"$build/registered.json"
version=$(python -c 'import json, sys; print(json.load(sys.stdin)["arn"].rpartition(":")[2])' \
    <"$build/registered.json")

# The alias is for everybody else who calls the function; steadfaas does not need it.
aws lambda update-alias --function-name "$NAME" --name "$ALIAS" --function-version "$version" \
    >/dev/null 2>&1 ||
    aws lambda create-alias --function-name "$NAME" --name "$ALIAS" \
        --function-version "$version" >/dev/null
echo "registered version $version of $NAME ($COMMIT)"
