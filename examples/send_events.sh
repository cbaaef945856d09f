#!/bin/sh
# Sends one prediction, then what came of it, with curl alone.
set -eu
url=${WATCHKEEPER_URL:-http://127.0.0.1:8090}
id=order-$(date +%s)-$$

send() {
    curl --silent --show-error --fail-with-body --header 'Content-Type: application/x-ndjson' \
        ${WATCHKEEPER_API_KEY:+--header "Authorization: Bearer $WATCHKEEPER_API_KEY"} \
        --data-binary "$2" "$url/v1/$1"
    echo
}

prediction='"service": "checkout", "model": "fraud", "prediction": false, "score": 0.07, "latency_ms": 18.2'
features='"segments": {"country": "DE"}, "features": {"amount": 12.5, "country": "DE"}'

send predictions "{\"id\": \"$id\", $prediction, $features}"
send outcomes "{\"prediction_id\": \"$id\", \"service\": \"checkout\", \"value\": false}"
