#!/bin/sh
# A stdio MCP server of less than 1 MB that knows no tool: every request is answered, none costs anything.
while IFS= read -r line; do
    case $line in
    *'"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"idle","version":"1"}}' ;;
    *'"tools/list"'*) result='{"tools":[]}' ;;
    *'"id":'*) result='{}' ;;
    *) continue ;;
    esac
    id=${line#*'"id":'}
    id=${id# }
    printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "${id%%[,\}]*}" "$result"
done
