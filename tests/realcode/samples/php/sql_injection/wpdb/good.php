<?php
function acme_lookup() {
    global $wpdb;
    return $wpdb->get_results($wpdb->prepare("SELECT * FROM {$wpdb->prefix}acme WHERE slug = %s", $_POST['slug']));
}
