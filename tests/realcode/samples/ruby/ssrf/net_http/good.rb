require 'net/http'

class PreviewsController < ApplicationController
  HOSTS = %w[images.example.com docs.example.com].freeze

  def show
    uri = URI.parse(params[:url])
    return head :bad_request unless uri.is_a?(URI::HTTPS) && HOSTS.include?(uri.host)

    render plain: Net::HTTP.get(uri)
  end
end
