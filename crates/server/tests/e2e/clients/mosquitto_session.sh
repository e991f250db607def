# mosquitto_session.sh PORT 4|5 USER PASSWORD WRONG_PASSWORD: messages of each QoS, then `done`.
set -eu
port=$1 user=$3 password=$4 wrong=$5
case $2 in 4) version=mqttv311 ;; *) version=mqttv5 ;; esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

publish() { mosquitto_pub -h 127.0.0.1 -p "$port" -V "$version" -u "$user" -P "$password" "$@"; }
subscribe() { mosquitto_sub -h 127.0.0.1 -p "$port" -V "$version" -u "$user" -P "$password" -W 20 "$@"; }

if mosquitto_pub -h 127.0.0.1 -p "$port" -V "$version" -u "$user" -P "$wrong" -t plant/x -m no 2>/dev/null; then
    echo 'a wrong password logs in' >&2
    exit 1
fi

# A session that is kept gets what was sent meanwhile, each message with its own QoS.
kept='-i mosquitto-kept -c'
[ "$version" = mqttv5 ] && kept="$kept -x 300"
subscribe $kept -E -q 2 -t 'plant/#'
for qos in 1 2; do publish -q "$qos" -t "plant/$qos" -m "queued $qos"; done
subscribe $kept -q 2 -t 'plant/#' -C 2 -F '%t %q %p' >"$scratch/queued"
printf 'plant/1 1 queued 1\nplant/2 2 queued 2\n' | cmp - "$scratch/queued"
mosquitto_sub -h 127.0.0.1 -p "$port" -V "$version" -u "$user" -P "$password" -i mosquitto-kept -E -t plant/none

# Retained, of each QoS, to a subscriber of each.
for qos in 0 1 2; do
    publish -q "$qos" -r -t "plant/r$qos" -m "kept $qos"
    for granted in 0 1 2; do
        subscribe -q "$granted" -t "plant/r$qos" -C 1 -F '%t %r %q %p' >"$scratch/retained"
        least=$((qos < granted ? qos : granted))
        printf 'plant/r%s 1 %s kept %s\n' "$qos" "$least" "$qos" | cmp - "$scratch/retained"
    done
    publish -q "$qos" -r -t "plant/r$qos" -n
done
echo done
